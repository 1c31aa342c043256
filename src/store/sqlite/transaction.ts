import type { DatabaseSync } from 'node:sqlite';
import { MizanError } from '../../core/errors.ts';
import { isBusy } from './database.ts';

/** After how long it is worth trying again, in ms. */
const retryAfterMs = 1000;

/**
 * Runs `work` wholly or not at all, and alone among all processes on the database.
 * @throws MizanError `database_busy` where another process holds it for longer than the connection waits; nothing was
 * changed then.
 */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  begin(database);
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

function begin(database: DatabaseSync): void {
  try {
    database.exec('BEGIN IMMEDIATE');
  } catch (cause) {
    if (!isBusy(cause)) throw cause;
    const message = 'Another process holds the database. Nothing was changed; try again in a moment.';
    throw new MizanError('database_busy', message, { cause, retryAfterMs });
  }
}
