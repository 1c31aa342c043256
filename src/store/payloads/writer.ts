import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { PayloadsTable } from '../schema.ts';

/** Of one transaction, at most: the thread that answers may have to wait for it. */
const batch = { rows: 32, bytes: 256 * 1024 };

/** Writes sealed rows, each of them once. */
export class PayloadWriter {
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#insert = database.prepare(`
      INSERT INTO payloads (tenant, request_id, sealed, request_bytes, answer_bytes, is_cut) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT (tenant, request_id) DO NOTHING`);
  }

  /** @throws what SQLite throws; rows that were written before stay, and may be written again. */
  write(rows: readonly PayloadsTable[]): void {
    for (let from = 0; from < rows.length;) {
      let to = from;
      for (let bytes = 0; to < rows.length && to - from < batch.rows && (to === from || bytes < batch.bytes); to++) {
        bytes += rows[to]?.sealed.length ?? 0;
      }
      this.#transaction(rows.slice(from, to));
      from = to;
    }
  }

  #transaction(rows: readonly PayloadsTable[]): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      for (const row of rows) {
        this.#insert.run(row.tenant, row.request_id, row.sealed, row.request_bytes, row.answer_bytes, row.is_cut);
      }
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }
}
