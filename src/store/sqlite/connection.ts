import type { SQLInputValue } from 'node:sqlite';
import { DatabaseSync } from 'node:sqlite';
import type { SqliteDatabase } from 'kysely';
import { Kysely, SqliteDialect } from 'kysely';
import type { Database } from '../schema.ts';

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

/** Kysely over a `node:sqlite` connection. */
export function kyselyOver(database: DatabaseSync): Kysely<Database> {
  return new Kysely({ dialect: new SqliteDialect({ database: adapted(database) }) });
}

function adapted(database: DatabaseSync): SqliteDatabase {
  return {
    close: () => database.close(),
    prepare(sql) {
      const statement = database.prepare(sql);
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...(parameters as SQLInputValue[])),
        run: (parameters) => statement.run(...(parameters as SQLInputValue[])),
        iterate: (parameters) => statement.iterate(...(parameters as SQLInputValue[])),
      };
    },
  };
}
