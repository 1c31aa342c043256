import { databaseFile } from '../../sqlite/file.ts';
import type { BackupEngine } from '../contract.ts';
import { postgresEngine } from './postgres.ts';
import { sqliteEngine } from './sqlite.ts';

/** The database that a configuration uses. `databaseUrl` is `null` for SQLite in the data folder. */
export function backupEngine(dataFolder: string, databaseUrl: string | null): BackupEngine {
  return databaseUrl === null ? sqliteEngine(dataFolder, databaseFile) : postgresEngine(dataFolder, databaseUrl);
}
