import { existsSync, renameSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { SQLInputValue } from 'node:sqlite';
import { holdData } from '../../folder-lock.ts';
import { openDatabase } from '../../sqlite/database.ts';
import { databaseFile } from '../../sqlite/file.ts';
import { migrate } from '../../sqlite/migrate.ts';
import type { Renames } from '../../swap.ts';
import { syncFile } from '../../swap.ts';
import type { Part, TableFacts } from '../contract.ts';
import { piecesOf } from '../format.ts';
import { damaged } from '../manifest.ts';
import { auditKeyPart, auditKeyParts, auditRenames } from './sqlite-audit.ts';
import { sqliteTableFacts } from './sqlite-facts.ts';

/**
 * With PostgreSQL the audit log is the data folder's own, in `mizan.db`. It goes with the backup as a database that has
 * nothing else in it: what lies beside it in the folder may be from before PostgreSQL, and large.
 */
const auditPart = 'audit.db';

/** The audit log as of one moment. */
export interface AuditCopy {
  readonly facts: TableFacts;
  readonly bytes: number;
  parts(): Part[];
}

/** `null` where the folder has no audit log. @param work Where the copy is put. */
export async function copyAudit(dataFolder: string, work: string): Promise<AuditCopy | null> {
  if (!existsSync(dataFolder)) return null;
  const hold = holdData(dataFolder);
  try {
    const source = join(dataFolder, databaseFile);
    return existsSync(source) ? await copied(dataFolder, source, join(work, auditPart)) : null;
  } finally {
    hold.release();
  }
}

async function copied(dataFolder: string, source: string, copy: string): Promise<AuditCopy | null> {
  const from = openDatabase(source, { readOnly: true, busyTimeoutMs: 5000 });
  try {
    // One view of it, whatever others append meanwhile.
    from.exec('BEGIN');
    if (from.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'audit'").get() === undefined) return null;
    const facts = { ...sqliteTableFacts(from, 'audit'), name: auditPart };
    if (facts.rows === 0) return null;
    const to = openDatabase(copy, { readOnly: false, busyTimeoutMs: 0 });
    try {
      await migrate(to);
      const columns = from.prepare("SELECT name FROM pragma_table_info('audit') ORDER BY cid").all();
      const names = columns.map(({ name }) => `"${String(name)}"`);
      const select = from.prepare(`SELECT ${names.join(', ')} FROM audit ORDER BY seq`);
      // Whatever somebody has made of them is to be found there, too.
      select.setReadBigInts(true);
      select.setReturnArrays(true);
      const insert = to.prepare(`INSERT INTO audit (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`);
      to.exec('BEGIN');
      for (const row of select.iterate()) insert.run(...(row as unknown as SQLInputValue[]));
      to.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)');
    } finally {
      to.close();
    }
    return {
      facts,
      bytes: facts.rows * 512,
      parts: () => [...auditKeyParts(dataFolder), { name: auditPart, bytes: piecesOf(copy) }],
    };
  } finally {
    from.close();
  }
}

/** An audit log that is taken out of a backup. */
export class AuditScratch {
  readonly #work: string;
  readonly #file: string;
  #key: Buffer | null = null;
  #isThere = false;

  constructor(work: string) {
    this.#work = work;
    this.#file = join(work, 'audit-scratch.db');
  }

  /** Whether it was one of its parts. */
  async take(part: Part): Promise<boolean> {
    if (part.name === auditKeyPart) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of part.bytes) chunks.push(chunk);
      this.#key = Buffer.concat(chunks);
      return true;
    }
    if (part.name !== auditPart) return false;
    const file = await open(this.#file, 'w', 0o600);
    try {
      for await (const chunk of part.bytes) await file.writeFile(chunk);
    } finally {
      await file.close();
    }
    return (this.#isThere = true);
  }

  /** None of a backup that has no audit log. @throws MizanError `backup_damaged` */
  facts(): TableFacts[] {
    if (!this.#isThere) return [];
    try {
      const database = openDatabase(this.#file, { readOnly: false, busyTimeoutMs: 0 });
      try {
        const found = database.prepare('PRAGMA integrity_check(1)').get()?.['integrity_check'];
        if (found !== 'ok') throw new Error(String(found));
        return [{ ...sqliteTableFacts(database, 'audit'), name: auditPart }];
      } finally {
        database.close();
      }
    } catch (error) {
      throw damaged(`its audit log is not sound (${error instanceof Error ? error.message : String(error)})`);
    }
  }

  /** How it comes to be in use, with its key and head; what is there goes to the folder `aside`. */
  renames(dataFolder: string, aside: string): Renames {
    if (!this.#isThere || this.#key === null) return [];
    const files = ['', '-wal', '-shm'].map((end) => `${databaseFile}${end}`);
    const old = files.filter((name) => existsSync(join(dataFolder, name)));
    const place = { dataFolder, scratch: this.#file, work: this.#work, aside };
    const audit = auditRenames(this.#key, place);
    syncFile(this.#file);
    const ready = `${databaseFile}.restored`;
    renameSync(this.#file, join(dataFolder, ready));
    return [
      ...old.map((name) => [name, join(aside, name)] as const),
      ...audit.old,
      ...audit.restored,
      [ready, databaseFile],
    ];
  }
}
