import { sql } from 'kysely';
import type { Pool } from 'pg';
import { SetupError } from '../../core/errors.ts';
import type { MigrationReport } from '../migration-run.ts';
import { isCurrent, runMigrations } from '../migration-run.ts';
import { kyselyOver } from './connection.ts';
import { SqliteWords } from './translation.ts';

/** The lock under which tables are changed: of all processes that start together one does it, the others wait. */
const migrationLock = 7_226_001;

/**
 * Brings the tables up to this version, in one transaction under an advisory lock.
 * @throws SetupError where a migration fails, or where a newer version has been here; whatever the connection throws
 * where the server can't be reached.
 */
export async function migrate(pool: Pool): Promise<MigrationReport> {
  if (isCurrent(await applied(pool))) return { done: [] };
  return kyselyOver(pool)
    .connection()
    .execute(async (connection) => {
      const db = connection.withPlugin(new SqliteWords());
      await sql`select pg_advisory_lock(${sql.lit(migrationLock)})`.execute(db);
      try {
        return await runMigrations(db);
      } finally {
        await sql`select pg_advisory_unlock(${sql.lit(migrationLock)})`.execute(db);
      }
    })
    .catch((error: unknown) => {
      throw error instanceof SetupError ? error : new SetupError('The database could not be brought up to date', error);
    });
}

async function applied(pool: Pool): Promise<string[]> {
  const table = await pool.query("SELECT to_regclass('kysely_migration') IS NOT NULL AS is_there");
  const [found] = table.rows as { readonly is_there: boolean }[];
  if (found?.is_there !== true) return [];
  const { rows } = await pool.query('SELECT name FROM kysely_migration ORDER BY name');
  return (rows as { readonly name: string }[]).map(({ name }) => name);
}
