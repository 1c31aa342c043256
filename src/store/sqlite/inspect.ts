import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { countGateways } from '../folder-lock.ts';
import { migrations } from '../migrations/index.ts';
import { explained, refuseLost } from './damage.ts';
import { openToLook } from './database.ts';
import { databaseFile } from './file.ts';
import { headless } from './headless.ts';

/** What a database is like, without a change to it. */
export interface Inspection {
  /** `older` ones are brought up to date when they are opened; `newer` ones belong to a newer version of Mizan. */
  readonly version: 'current' | 'older' | 'newer';
  /** When the newest request in the log came, in ms since the Unix epoch; `null` where there is none. */
  readonly newestAt: number | null;
}

/**
 * Looks at the SQLite database in `folder`, which another process may be using; `null` where there is none. It makes
 * nothing and changes nothing.
 * @throws DamagedDatabase where it is damaged, or was lost; Error of `node:sqlite`, where it can't be read.
 */
export function inspectDatabase(folder: string): Inspection | null {
  const file = join(folder, databaseFile);
  // A start puts it back from its log.
  if (headless(folder).includes(file)) return { version: 'older', newestAt: null };
  try {
    if (existsSync(file)) return inspected(file);
    refuseLost(null, file);
    return null;
  } catch (error) {
    throw explained(error, file);
  }
}

function inspected(file: string): Inspection {
  const database = openToLook(file);
  try {
    refuseLost(database, file);
    const version = versionOf(database);
    return { version, newestAt: version === 'current' ? newestAt(database) : null };
  } finally {
    database.close();
  }
}

function versionOf(database: DatabaseSync): Inspection['version'] {
  const table = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'kysely_migration'").get();
  const done = table === undefined ? [] : database.prepare('SELECT name FROM kysely_migration').all();
  if (done.some(({ name }) => !(String(name) in migrations))) return 'newer';
  return done.length < Object.keys(migrations).length ? 'older' : 'current';
}

/** From tenant to tenant by their newest ids, which are in the order of time: as many steps as tenants, not as rows. */
function newestAt(database: DatabaseSync): number | null {
  const found = database
    .prepare(
      `WITH RECURSIVE tenants (tenant) AS (
         SELECT min(tenant) FROM requests
         UNION ALL
         SELECT (SELECT min(tenant) FROM requests WHERE tenant > tenants.tenant) FROM tenants WHERE tenant IS NOT NULL
       )
       SELECT max((SELECT time FROM requests WHERE tenant = tenants.tenant ORDER BY id DESC LIMIT 1)) AS newest
       FROM tenants`,
    )
    .get();
  return typeof found?.['newest'] === 'number' ? found['newest'] : null;
}

/**
 * How many processes answer requests on the SQLite database in `folder`, and whether it has limits that they count each
 * for themselves.
 * @throws Error of `node:sqlite`, where it can't be read.
 */
export function inspectGateways(folder: string): { readonly gateways: number; readonly hasLimits: boolean } {
  const gateways = countGateways(folder);
  if (gateways <= 1) return { gateways, hasLimits: false };
  const database = openToLook(join(folder, databaseFile));
  try {
    const found = database
      .prepare(
        `SELECT 1 FROM limit_rules WHERE kind = 'limit'
         UNION ALL SELECT 1 FROM api_keys WHERE revoked_at IS NULL
           AND coalesce(limits ->> 'rpm', limits ->> 'tpm', limits ->> 'maxInFlight') IS NOT NULL
         LIMIT 1`,
      )
      .get();
    return { gateways, hasLimits: found !== undefined };
  } finally {
    database.close();
  }
}
