import type { Kysely } from 'kysely';
import { Migrator } from 'kysely/migration';
import { SetupError } from '../../core/errors.ts';
import { migrations } from '../migrations/index.ts';
import type { Database } from '../schema.ts';

/**
 * Brings the tables up to this version.
 * @throws SetupError where a migration fails, or where a newer version has been here.
 */
export async function migrate(database: Kysely<Database>): Promise<void> {
  const migrator = new Migrator({ db: database, provider: { getMigrations: async () => ({ ...migrations }) } });
  const { error, results } = await migrator.migrateToLatest();
  if (error === undefined) return;
  const failed = results?.find((result) => result.status === 'Error')?.migrationName;
  const where = failed === undefined ? '' : ` at ${failed}`;
  throw new SetupError(`The database could not be brought up to date${where}`, error);
}
