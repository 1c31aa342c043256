import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { secretFile } from '../../security/secret-file.ts';
import type { AuditHead, AuditRow } from './audit-chain.ts';
import { AuditChain, auditColumns, auditKeyFile, genesis, storedValues, sync } from './audit-chain.ts';
import { openDatabase } from './database.ts';

const insert = `
  INSERT INTO audit (seq, ${auditColumns.map((column) => `"${column}"`).join(', ')}, mac)
  VALUES (?, ${auditColumns.map(() => '?').join(', ')}, ?)`;

/**
 * Appends to the chain, from any number of processes at once. It blocks its thread for the disk and for other writers:
 * a process that serves has it on another one.
 *
 * The head, in a file of its own beside the database, is written once its row is on the disk, so that it is never ahead
 * of what a power cut leaves. Where the database is behind the head, rows were taken out of it: the chain goes on from
 * the head, and the gap stays.
 */
export class AuditWriter {
  readonly #folder: string;
  readonly #file: string;
  #open: { readonly database: DatabaseSync; readonly chain: AuditChain } | null = null;

  /** Opens nothing and makes no key before there is something to append. */
  constructor(folder: string, databaseFile: string) {
    this.#folder = folder;
    this.#file = join(folder, databaseFile);
  }

  /** All of them or none. @throws Error of `node:sqlite` or `node:fs`, where they can't be written. */
  append(rows: readonly AuditRow[]): void {
    const { database, chain } = (this.#open ??= {
      database: openDatabase(this.#file, { readOnly: false, busyTimeoutMs: 5000 }),
      chain: new AuditChain(secretFile(this.#folder, auditKeyFile)),
    });
    const last = locked(database, 'COMMIT', () => this.#insert(database, chain, rows));
    sync(`${this.#file}-wal`);
    chain.writeHead(this.#folder, last, () =>
      locked(database, 'ROLLBACK', () => {
        const head = chain.readHead(this.#folder);
        return head !== 'damaged' && (head === null || head.seq < last.seq);
      }),
    );
  }

  close(): void {
    this.#open?.database.close();
    this.#open = null;
  }

  #insert(database: DatabaseSync, chain: AuditChain, rows: readonly AuditRow[]): AuditHead {
    const newest = database.prepare('SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1').get();
    let last: AuditHead =
      newest === undefined ? genesis : { seq: Number(newest['seq']), mac: Buffer.from(newest['mac'] as Uint8Array) };
    const head = chain.readHead(this.#folder);
    if (head !== null && head !== 'damaged' && head.seq >= last.seq) last = head;
    const statement = database.prepare(insert);
    for (const row of rows) {
      const seq = last.seq + 1;
      const mac = chain.mac(last, seq, storedValues(row));
      statement.run(seq, ...auditColumns.map((column) => row[column]), mac);
      last = { seq, mac };
    }
    return last;
  }
}

/** Alone among all writers. */
function locked<T>(database: DatabaseSync, ending: 'COMMIT' | 'ROLLBACK', work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec(ending);
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
