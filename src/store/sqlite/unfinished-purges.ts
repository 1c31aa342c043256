import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { UnfinishedPurges } from '../../core/response-cache.ts';
import { inTransaction } from './transaction.ts';

/** In the database of the data folder, whatever else there is: who shares the folder goes on with them. */
export class SqliteUnfinishedPurges implements UnfinishedPurges {
  readonly #database: DatabaseSync;
  readonly #all: StatementSync;
  readonly #add: StatementSync;
  readonly #remove: StatementSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#all = database.prepare('SELECT note FROM unfinished_purges');
    this.#add = database.prepare('INSERT INTO unfinished_purges (note) VALUES (?) ON CONFLICT DO NOTHING');
    this.#remove = database.prepare('DELETE FROM unfinished_purges WHERE note = ?');
  }

  all(): string[] {
    return this.#all.all().map(({ note }) => String(note));
  }

  add(note: string): void {
    inTransaction(this.#database, () => this.#add.run(note));
  }

  remove(note: string): void {
    inTransaction(this.#database, () => this.#remove.run(note));
  }
}
