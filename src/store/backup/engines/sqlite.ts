import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { backup } from 'node:sqlite';
import { SetupError } from '../../../core/errors.ts';
import { holdData } from '../../folder-lock.ts';
import { openDatabase } from '../../sqlite/database.ts';
import { isSwapping, swap, syncFile } from '../../swap.ts';
import type { BackupEngine, DatabaseFacts, OnProgress, Part, Scratch, Snapshot } from '../contract.ts';
import { piecesOf } from '../format.ts';
import { damaged } from '../manifest.ts';
import { needSpace } from '../work.ts';
import { auditKeyPart, auditKeyParts, auditRenames } from './sqlite-audit.ts';
import { sqliteFacts } from './sqlite-facts.ts';

/** Pages that are copied at a time: 128 KiB. */
const pagesAtATime = 32;

const partName = 'database';

/** The SQLite database `file` in the data folder. */
export function sqliteEngine(dataFolder: string, file: string): BackupEngine {
  return {
    name: 'sqlite',
    async snapshot(work, onProgress) {
      const source = join(dataFolder, file);
      if (!existsSync(source) && !isSwapping(dataFolder)) {
        throw new SetupError(`There is nothing to back up: ${source} is not there.`);
      }
      const hold = holdData(dataFolder);
      try {
        return await snapshot(source, work, onProgress);
      } finally {
        hold.release();
      }
    },
    async scratch(work, bytes) {
      needSpace(work, bytes);
      return new SqliteScratch(dataFolder, file, work);
    },
  };
}

async function snapshot(source: string, work: string, onProgress: OnProgress): Promise<Snapshot> {
  const copy = join(work, 'copy.db');
  needSpace(work, statSync(source).size);
  const database = openDatabase(source, { readOnly: true, busyTimeoutMs: 5000 });
  let facts: DatabaseFacts;
  try {
    // What others commit from here on is not seen: without it, each of their commits would begin the copy anew.
    database.exec('BEGIN');
    database.prepare('SELECT count(*) FROM sqlite_schema').get();
    await backup(database, copy, {
      rate: pagesAtATime,
      progress: ({ totalPages, remainingPages }) =>
        onProgress({ step: 'copying', done: totalPages - remainingPages, total: totalPages }),
    });
    // Of the source and not of its copy, so that a wrong copy is found when the backup is verified.
    facts = sqliteFacts(database, onProgress);
  } finally {
    database.close();
  }
  return {
    facts,
    bytes: statSync(copy).size,
    parts: () => [...auditKeyParts(dirname(source)), { name: partName, bytes: piecesOf(copy) }],
    close: async () => rmSync(copy, { force: true }),
  };
}

class SqliteScratch implements Scratch {
  readonly #dataFolder: string;
  readonly #file: string;
  readonly #scratch: string;
  readonly #work: string;
  /** `null` of a backup from before there was one in it, and where there was no entry yet. */
  #auditKey: Buffer | null = null;

  constructor(dataFolder: string, file: string, work: string) {
    this.#dataFolder = dataFolder;
    this.#file = file;
    this.#scratch = join(work, 'scratch.db');
    this.#work = work;
  }

  async take(part: Part): Promise<void> {
    if (part.name === auditKeyPart) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of part.bytes) chunks.push(chunk);
      this.#auditKey = Buffer.concat(chunks);
    }
    if (part.name !== partName) return;
    const file = await open(this.#scratch, 'w', 0o600);
    try {
      for await (const chunk of part.bytes) await file.writeFile(chunk);
    } finally {
      await file.close();
    }
  }

  async facts(onProgress: OnProgress): Promise<DatabaseFacts> {
    let database: DatabaseSync | null = null;
    try {
      database = openDatabase(this.#scratch, { readOnly: false, busyTimeoutMs: 0 });
      const [first] = database.prepare('PRAGMA integrity_check(1)').all();
      if (first?.['integrity_check'] !== 'ok') throw new Error(String(first?.['integrity_check']));
      return sqliteFacts(database, onProgress);
    } catch (error) {
      throw damaged(`its database is not sound (${error instanceof Error ? error.message : String(error)})`);
    } finally {
      database?.close();
    }
  }

  async adopt(): Promise<string | null> {
    const aside = asideOf(this.#dataFolder);
    const old = ['', '-wal', '-shm'].map((end) => `${this.#file}${end}`);
    const there = old.filter((name) => existsSync(join(this.#dataFolder, name)));
    // Out of the folder that is emptied before every backup: from the first rename on it is all there is.
    const ready = `${this.#file}.restored`;
    const [dataFolder, inFolder] = [this.#dataFolder, relative(this.#dataFolder, aside)];
    const place = { dataFolder, scratch: this.#scratch, work: this.#work, aside: inFolder };
    const audit = this.#auditKey === null ? { old: [], restored: [] } : auditRenames(this.#auditKey, place);
    // Only now has it to last; a large file that is synced makes others wait for the disk.
    syncFile(this.#scratch);
    renameSync(this.#scratch, join(this.#dataFolder, ready));
    swap(this.#dataFolder, [
      ...there.map((name) => [name, join(inFolder, name)] as const),
      ...audit.old,
      ...audit.restored,
      [ready, this.#file],
    ]);
    return there.length === 0 ? null : aside;
  }

  async close(): Promise<void> {
    for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${this.#scratch}${end}`, { force: true });
  }
}

/** A folder that is not there yet: `before-restore-2026-11-24T19-34-09Z`. */
function asideOf(dataFolder: string): string {
  const time = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
  const name = `before-restore-${time}Z`;
  const taken = new Set(readdirSync(dataFolder));
  let [free, n] = [name, 1];
  while (taken.has(free)) free = `${name}-${++n}`;
  return join(dataFolder, free);
}
