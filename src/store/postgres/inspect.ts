import type { Inspection } from '../sqlite/inspect.ts';
import { migrations } from '../migrations/index.ts';
import { kyselyOver, openPool } from './connection.ts';
import { countGateways, hasStoredLimits } from './gateways.ts';

/**
 * Looks at the database at `url` without a change to it; `null` where it has no tables of ours.
 * @throws what the connection throws where it can't be reached.
 */
export async function inspectPostgres(url: string): Promise<Inspection | null> {
  const pool = openPool(url, { max: 1, statementTimeoutMs: 5000 });
  try {
    const table = await pool.query("SELECT to_regclass('kysely_migration') IS NOT NULL AS is_there");
    if ((table.rows as { is_there: boolean }[])[0]?.is_there !== true) return null;
    const { rows } = await pool.query('SELECT name FROM kysely_migration');
    const done = (rows as { name: string }[]).map(({ name }) => name);
    if (done.some((name) => !(name in migrations))) return { version: 'newer', newestAt: null };
    if (done.length < Object.keys(migrations).length) return { version: 'older', newestAt: null };
    const newest = await pool.query('SELECT time FROM requests ORDER BY id DESC LIMIT 1');
    return { version: 'current', newestAt: (newest.rows as { time: number }[])[0]?.time ?? null };
  } finally {
    await pool.end();
  }
}

/** How many processes answer requests on the database at `url`, and whether it has limits for them. */
export async function inspectGateways(
  url: string,
): Promise<{ readonly gateways: number; readonly hasLimits: boolean }> {
  const pool = openPool(url, { max: 1, statementTimeoutMs: 5000 });
  try {
    const db = kyselyOver(pool);
    return { gateways: await countGateways(db), hasLimits: await hasStoredLimits(db) };
  } finally {
    await pool.end();
  }
}
