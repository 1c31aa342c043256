import type { DatabaseSync } from 'node:sqlite';
import { SetupError } from '../../core/errors.ts';
import type { MigrationReport } from '../migration-run.ts';
import { isCurrent, runMigrations } from '../migration-run.ts';
import { kyselyOver } from './connection.ts';

/**
 * Brings the tables up to this version: wholly or not at all, and by one process where several start together.
 * @throws SetupError where a migration fails, or where a newer version has been here.
 */
export async function migrate(database: DatabaseSync): Promise<MigrationReport> {
  if (isCurrent(applied(database))) return { done: [] };
  try {
    database.exec('BEGIN IMMEDIATE');
    const report = await runMigrations(kyselyOver(database));
    database.exec('COMMIT');
    return report;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error instanceof SetupError ? error : new SetupError('The database could not be brought up to date', error);
  }
}

function applied(database: DatabaseSync): string[] {
  const table = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'kysely_migration'").get();
  if (table === undefined) return [];
  return database
    .prepare('SELECT name FROM kysely_migration ORDER BY name')
    .all()
    .map(({ name }) => String(name));
}
