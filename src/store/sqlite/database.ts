import { DatabaseSync } from 'node:sqlite';

export interface OpenOptions {
  readonly readOnly: boolean;
  /** How long a statement waits for another connection's lock, in ms. It blocks its thread meanwhile. */
  readonly busyTimeoutMs: number;
}

/**
 * A connection in write-ahead mode. A commit survives the process being killed at any moment; the last ones before a
 * power cut may be lost, never torn (`synchronous = NORMAL`).
 */
export function openDatabase(file: string, options: OpenOptions): DatabaseSync {
  const database = new DatabaseSync(file, { readOnly: options.readOnly, timeout: options.busyTimeoutMs });
  if (!options.readOnly) {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 67108864;');
  }
  return database;
}
