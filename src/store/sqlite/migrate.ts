import type { DatabaseSync } from 'node:sqlite';
import { Migrator } from 'kysely/migration';
import { SetupError } from '../../core/errors.ts';
import { migrations } from '../migrations/index.ts';
import { kyselyOver } from './connection.ts';

/**
 * Brings the tables up to this version: wholly or not at all, and by one process where several start together.
 * @throws SetupError where a migration fails, or where a newer version has been here.
 */
export async function migrate(database: DatabaseSync): Promise<void> {
  if (isCurrent(database)) return;
  try {
    database.exec('BEGIN IMMEDIATE');
    await migrateToLatest(database);
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error instanceof SetupError ? error : new SetupError('The database could not be brought up to date', error);
  }
}

async function migrateToLatest(database: DatabaseSync): Promise<void> {
  const provider = { getMigrations: async () => ({ ...migrations }) };
  const { error, results } = await new Migrator({ db: kyselyOver(database), provider }).migrateToLatest();
  if (error === undefined) return;
  const failed = results?.find((result) => result.status === 'Error')?.migrationName;
  const where = failed === undefined ? '' : ` at ${failed}`;
  throw new SetupError(`The database could not be brought up to date${where}`, error);
}

/** Whether the database is what these migrations make: then nothing has to be written, and nobody waited for. */
function isCurrent(database: DatabaseSync): boolean {
  const table = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'kysely_migration'").get();
  if (table === undefined) return false;
  const done = database.prepare('SELECT name FROM kysely_migration ORDER BY name').all();
  return done.map(({ name }) => name).join() === Object.keys(migrations).toSorted().join();
}
