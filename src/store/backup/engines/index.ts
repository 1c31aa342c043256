import { SetupError } from '../../../core/errors.ts';
import { databaseFile } from '../../sqlite/index.ts';
import type { BackupEngine } from '../contract.ts';
import { sqliteEngine } from './sqlite.ts';

/** The database that a configuration uses. `databaseUrl` is `null` for SQLite in the data folder. */
export function backupEngine(dataFolder: string, databaseUrl: string | null): BackupEngine {
  if (databaseUrl === null) return sqliteEngine(dataFolder, databaseFile);
  throw new SetupError('Backups of PostgreSQL are not supported by this version; use pg_dump.');
}
