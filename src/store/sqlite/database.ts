import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

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
  const isNew = (statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0;
  // SQLite would open a file that can't be written for reading, without a word, and leave it at that for good.
  if (!options.readOnly && !isNew) accessSync(file, constants.W_OK);
  const database = new DatabaseSync(file, { readOnly: options.readOnly, timeout: options.busyTimeoutMs });
  if (!options.readOnly) {
    // Of a file that is new: room that is given up can be given back to the disk, page by page.
    if (isNew) database.exec('PRAGMA auto_vacuum = INCREMENTAL');
    keepLog(database, options.busyTimeoutMs);
    database.exec('PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 67108864;');
  }
  return database;
}

/** Whether SQLite refuses because of somebody else's lock. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === 5;
}

const shortly = new Int32Array(new SharedArrayBuffer(4));

/**
 * Switches a new database to a write-ahead log. Of several that do so at the same time SQLite refuses all but one at
 * once, without waiting: each of them reads already, and would wait for the others for ever.
 */
function keepLog(database: DatabaseSync, patienceMs: number): void {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    try {
      database.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() >= deadline) throw error;
      Atomics.wait(shortly, 0, 0, 5);
    }
  }
}

/** A connection to a database that another process may be using, which makes nothing and changes nothing. */
export function openToLook(file: string): DatabaseSync {
  const url = pathToFileURL(file);
  // To read it in the usual way would make the files that go with a log; where there is no log, nobody writes.
  if (!existsSync(`${file}-wal`)) url.searchParams.set('immutable', '1');
  return new DatabaseSync(url, { readOnly: true, timeout: 1000 });
}
