import { hash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { SetupError } from '../../core/errors.ts';
import { databaseFile } from '../sqlite/file.ts';
import { migrate } from '../sqlite/migrate.ts';
import type { Cell, CopyEnd, Row, TableShape } from './end.ts';

/** What became of one table. */
export interface CopiedTable {
  readonly name: string;
  readonly rows: number;
  /** Whether both ends have the same rows, by their number and by a checksum over all their cells. */
  readonly isSame: boolean;
}

export interface CopyProgress {
  readonly table: string;
  readonly step: 'copy' | 'compare';
  readonly done: number;
  readonly total: number;
}

/**
 * Copies everything from one database to another, table by table, and compares. Rows that are there already stay, so
 * that a copy which was broken off goes on where it is started again.
 * @param from `postgres://…`, or `sqlite:` with a file or a data folder; likewise `to`.
 * @throws SetupError where one of them can't be used.
 */
export async function copyDatabase(
  { from, to }: { readonly from: string; readonly to: string },
  tell: (progress: CopyProgress) => void,
): Promise<CopiedTable[]> {
  const source = await open(from, false);
  try {
    const target = await open(to, true);
    try {
      const copied: CopiedTable[] = [];
      for (const table of await shapes()) copied.push(await copyTable(table, source, target, tell));
      return copied;
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

/** The data folders among the ends of a copy: those whose `mizan.db` is one, each once. */
export function foldersOf(urls: readonly string[]): string[] {
  const folders = urls.flatMap((url) => {
    const path = sqlitePath(url);
    if (path === null) return [];
    const file = fileOf(path);
    return basename(file) === databaseFile ? [dirname(file)] : [];
  });
  return [...new Set(folders)];
}

/** An end as it may be shown: without a password. */
export function shownEnd(url: string): string {
  if (sqlitePath(url) !== null || !URL.canParse(url)) return url;
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

function sqlitePath(url: string): string | null {
  return /^sqlite:(.+)$/.exec(url)?.[1] ?? null;
}

/** Of a file or a data folder. */
function fileOf(path: string): string {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder ? join(path, databaseFile) : path;
}

async function open(url: string, isTarget: boolean): Promise<CopyEnd> {
  try {
    if (/^postgres(?:ql)?:/.test(url)) return await (await import('./postgres-end.ts')).openPostgresEnd(url);
    const path = sqlitePath(url);
    if (path !== null) return await (await import('./sqlite-end.ts')).openSqliteEnd(fileOf(path), isTarget);
  } catch (error) {
    throw error instanceof SetupError
      ? error
      : new SetupError(`The ${isTarget ? 'target' : 'source'} can't be used`, error);
  }
  throw new SetupError('A database is given as postgres://… or as sqlite: with a file or a data folder.');
}

/**
 * Every table that the migrations make and that has a key. The audit log is a chain of each data folder's own, which is
 * nobody's to copy.
 */
async function shapes(): Promise<TableShape[]> {
  const database = new DatabaseSync(':memory:');
  await migrate(database);
  const names = database
    .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'kysely_%' ORDER BY name`)
    .all()
    .map(({ name }) => String(name));
  const all = names.map((name) => {
    const columns = database.prepare('SELECT name, pk FROM pragma_table_info(?)').all(name);
    const key = columns.filter(({ pk }) => Number(pk) > 0).toSorted((a, b) => Number(a['pk']) - Number(b['pk']));
    return { name, columns: columns.map((c) => String(c['name'])), key: key.map((c) => String(c['name'])) };
  });
  database.close();
  return all.filter(({ name, key }) => key.length > 0 && name !== 'audit' && !name.startsWith('sqlite_'));
}

async function copyTable(
  table: TableShape,
  source: CopyEnd,
  target: CopyEnd,
  tell: (progress: CopyProgress) => void,
): Promise<CopiedTable> {
  const total = await source.count(table);
  let done = 0;
  const sourceSum = new Checksum(table);
  for await (const rows of pages(table, source)) {
    await target.insert(table, rows);
    for (const row of rows) sourceSum.add(row);
    tell({ table: table.name, step: 'copy', done: (done += rows.length), total });
  }
  await target.refresh();
  const targetSum = new Checksum(table);
  done = 0;
  for await (const rows of pages(table, target)) {
    for (const row of rows) targetSum.add(row);
    tell({ table: table.name, step: 'compare', done: (done += rows.length), total });
  }
  return { name: table.name, rows: total, isSame: sourceSum.text() === targetSum.text() && total === done };
}

async function* pages(table: TableShape, end: CopyEnd): AsyncGenerator<readonly Row[]> {
  for (let after: readonly Cell[] | null = null; ;) {
    const rows: readonly Row[] = await end.page(table, after);
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows;
    after = table.key.map((column) => last[column] ?? null);
  }
}

/** Over all cells of all rows, in the order of their keys, which is the same on both engines. */
class Checksum {
  readonly #columns: readonly string[];
  #sum = '';

  constructor(table: TableShape) {
    this.#columns = table.columns;
  }

  add(row: Row): void {
    this.#sum = hash('sha256', this.#sum + JSON.stringify(this.#columns.map((column) => shown(row[column] ?? null))));
  }

  text(): string {
    return this.#sum;
  }
}

function shown(cell: Cell): unknown {
  if (typeof cell === 'string') return cell.replaceAll('\u0000', '\uFFFD');
  if (typeof cell === 'bigint') return String(cell);
  return cell instanceof Uint8Array ? { bytes: Buffer.from(cell).toString('base64') } : cell;
}
