import type { Kysely } from 'kysely';
import { Migrator } from 'kysely/migration';
import { SetupError } from '../core/errors.ts';
import type { Database } from './schema.ts';
import { migrations } from './migrations/index.ts';

/** The migrations in their order. */
const migrationNames: readonly string[] = Object.keys(migrations).toSorted();

/** What `mizan migrate` tells. */
export interface MigrationReport {
  /** The names of those that were run now, in their order; empty where there was nothing to do. */
  readonly done: readonly string[];
}

/**
 * Runs what has not been run yet, in its order. The engine sees to it that only one process does, and that a migration
 * that fails leaves nothing behind.
 * @throws SetupError where a migration fails, or where a newer version has been here.
 */
export async function runMigrations(db: Kysely<Database>): Promise<MigrationReport> {
  const provider = { getMigrations: async () => ({ ...migrations }) };
  const { error, results = [] } = await new Migrator({ db, provider }).migrateToLatest();
  if (error === undefined) {
    return { done: results.filter(({ status }) => status === 'Success').map(({ migrationName }) => migrationName) };
  }
  const failed = results.find((result) => result.status === 'Error')?.migrationName;
  const where = failed === undefined ? '' : ` at ${failed}`;
  throw new SetupError(`The database could not be brought up to date${where}`, error);
}

/**
 * Whether `applied` is what these migrations make: then nothing has to be written, and nobody waited for.
 * @throws SetupError where a newer version has been here.
 */
export function isCurrent(applied: readonly string[]): boolean {
  const unknown = applied.filter((name) => !migrationNames.includes(name));
  if (unknown.length > 0) {
    throw new SetupError(
      `The database is of a newer version of Mizan (it has ${unknown.join(', ')}); start that version, or restore a backup from before it`,
    );
  }
  return applied.length === migrationNames.length;
}
