import { createHmac } from 'node:crypto';
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Pool } from 'pg';
import type { Secret } from '../../core/secret.ts';
import { secretFile } from '../../security/secret-file.ts';
import { auditColumns, auditKeyFile } from '../sqlite/audit-chain.ts';
import { openDatabase } from '../sqlite/database.ts';
import { databaseFile } from '../sqlite/file.ts';

/** Entries that are sent at a time. */
const batchRows = 500;

const columns = ['seq', ...auditColumns] as const;

const select = `SELECT ${columns.map((column) => `"${column}"`).join(', ')}, lower(hex(mac)) AS mac
  FROM audit WHERE seq > ? ORDER BY seq LIMIT ${batchRows}`;

const insert = `
  INSERT INTO audit_copies SELECT * FROM json_populate_recordset(NULL::audit_copies, $1::json) ON CONFLICT DO NOTHING`;

interface Opened {
  readonly database: DatabaseSync;
  readonly log: string;
  /** The entries after one. */
  readonly next: StatementSync;
}

/**
 * Sends what is new in a data folder's audit log to PostgreSQL, where a backup finds it from whatever machine. The chain
 * stays where it is: it is that which proves, and the copy is what there is when the machine is gone.
 */
export class AuditCopies {
  readonly #folder: string;
  readonly #pool: Pool;
  #open: Opened | null = null;
  /** Up to which entry all are there; `null` while nobody has asked. */
  #sent: number | null = null;

  constructor(folder: string, pool: Pool) {
    this.#folder = folder;
    this.#pool = pool;
  }

  /** All that is new. @throws what stands in the way: then it is sent another time. */
  async ship(): Promise<void> {
    const open = (this.#open ??= this.#opened());
    if (open === null) return;
    this.#sent ??= await this.#known(open);
    for (let sent = this.#sent; ;) {
      const rows = open.next.all(sent);
      const last = rows.at(-1);
      if (last === undefined) return;
      const given = { log: open.log, host: hostname() };
      const json = JSON.stringify(
        rows.map((row) => ({ ...row, ...given })),
        (_key, value: unknown) => asText(value),
      );
      await this.#pool.query(insert, [json]);
      this.#sent = sent = Number(last['seq']);
    }
  }

  close(): void {
    this.#open?.database.close();
    this.#open = null;
  }

  /** There is no log before its first entry. */
  #opened(): Opened | null {
    const file = join(this.#folder, databaseFile);
    if (!existsSync(file) || !existsSync(join(this.#folder, auditKeyFile))) return null;
    const log = logName(secretFile(this.#folder, auditKeyFile));
    const database = openDatabase(file, { readOnly: true, busyTimeoutMs: 5000 });
    return { database, log, next: database.prepare(select) };
  }

  /** Where it goes on. A log that is not the one that was sent, since a backup was restored, is sent from its beginning. */
  async #known({ database, log }: Opened): Promise<number> {
    const { rows } = await this.#pool.query<{ readonly seq: number; readonly mac: string }>(
      'SELECT seq, mac FROM audit_copies WHERE log = $1 ORDER BY seq DESC LIMIT 1',
      [log],
    );
    const [newest] = rows;
    if (newest === undefined) return 0;
    const here = database.prepare('SELECT lower(hex(mac)) AS mac FROM audit WHERE seq = ?').get(newest.seq);
    return here?.['mac'] === newest.mac ? newest.seq : 0;
  }
}

/** How a log is named among others: by its key, and without telling that. */
export function logName(key: Secret<string>): string {
  return createHmac('sha256', key.reveal()).update('log').digest('hex').slice(0, 16);
}

/** PostgreSQL's texts can't hold U+0000. Bytes are where somebody has been at the log. */
function asText(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  return typeof value === 'string' ? value.replaceAll('\u0000', '\uFFFD') : value;
}
