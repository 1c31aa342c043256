import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Pool } from 'pg';
import { firstIdAt } from '../../core/ids.ts';
import type { Removed, Retention } from '../../core/retention.ts';
import { archiveSome, oldPeriod } from '../ledger.ts';
import { grains } from '../rollups.ts';
import type { Database } from '../schema.ts';
import { kyselyOver } from './connection.ts';
import { dropPartitions } from './partitions.ts';

const dayMs = 86_400_000;

const archiveLock = 7_226_008;

/**
 * Drops the days that are older than they are kept.
 * @param now In ms since the Unix epoch.
 * @param isStopped Whether it is to end with the statement that is under way: the rest goes another time.
 */
export async function removeOld(
  pool: Pool,
  retention: Retention,
  now: number,
  isStopped: () => boolean = () => false,
): Promise<Removed> {
  const log = now - retention.log * dayMs;
  const payload = now - Math.min(retention.payloads, retention.log) * dayMs;
  const requests = await dropPartitions(pool, 'requests', log);
  await dropPartitions(pool, 'attempts', log);
  const payloads = await dropPartitions(pool, 'payloads', payload);
  const db = kyselyOver(pool);
  const bound = firstIdAt(log);
  const archive = async (transaction: Kysely<Database>): Promise<boolean> => {
    // One process at a time: what is counted twice would be missing from the sums.
    await sql`select pg_advisory_xact_lock(${sql.lit(archiveLock)})`.execute(transaction);
    return archiveSome(transaction, bound, 500);
  };
  while (!isStopped() && (await db.transaction().execute(archive))) continue;
  if (isStopped()) return { requests, payloads, rollups: 0, freedBytes: null };
  await pool.query('DELETE FROM budget_use WHERE start > 0 AND start < $1 AND used = archived', [
    oldPeriod(now, retention.log),
  ]);
  // Rows that came after their day was dropped.
  await pool.query('DELETE FROM requests_other WHERE id < $1', [firstIdAt(log)]);
  await pool.query('DELETE FROM attempts_other WHERE request_id < $1', [firstIdAt(log)]);
  await pool.query('DELETE FROM payloads_other WHERE request_id < $1', [firstIdAt(payload)]);
  let rollups = 0;
  for (const grain of Object.values(grains)) {
    if (isStopped()) break;
    const days = grain === grains.minute ? Math.min(retention.log, retention.rollups) : retention.rollups;
    const { rowCount } = await pool.query('DELETE FROM rollups WHERE grain = $1 AND start < $2', [
      grain,
      now - days * dayMs,
    ]);
    rollups += rowCount ?? 0;
  }
  return { requests, payloads, rollups, freedBytes: null };
}
