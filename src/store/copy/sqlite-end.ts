import { existsSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { SetupError } from '../../core/errors.ts';
import { openDatabase } from '../sqlite/database.ts';
import { migrate } from '../sqlite/migrate.ts';
import type { Cell, CopyEnd, Row, TableShape } from './end.ts';
import { pageRows } from './end.ts';

/** @throws SetupError where a source isn't there. */
export async function openSqliteEnd(file: string, isTarget: boolean): Promise<CopyEnd> {
  if (!isTarget && !existsSync(file)) throw new SetupError(`There is no database ${file}`);
  const database = openDatabase(file, { readOnly: false, busyTimeoutMs: 5000 });
  await migrate(database);
  return new SqliteEnd(database, isTarget);
}

class SqliteEnd implements CopyEnd {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync, isTarget: boolean) {
    this.#database = database;
    // One view of it, whatever others write meanwhile.
    if (!isTarget) database.exec('BEGIN');
  }

  async page(table: TableShape, after: readonly Cell[] | null): Promise<readonly Row[]> {
    const key = table.key.map((column) => `"${column}"`).join(', ');
    const where = after === null ? '' : `WHERE (${key}) > (${after.map(() => '?').join(', ')})`;
    const statement = this.#database.prepare(
      `SELECT * FROM "${table.name}" ${where} ORDER BY ${key} LIMIT ${pageRows(table)}`,
    );
    return statement.all(...(after ?? []));
  }

  async count(table: TableShape): Promise<number> {
    return Number(this.#database.prepare(`SELECT count(*) AS n FROM "${table.name}"`).get()?.['n']);
  }

  async insert(table: TableShape, rows: readonly Row[]): Promise<void> {
    const columns = table.columns.map((column) => `"${column}"`).join(', ');
    const places = table.columns.map(() => '?').join(', ');
    const statement = this.#database.prepare(
      `INSERT INTO "${table.name}" (${columns}) VALUES (${places}) ON CONFLICT DO NOTHING`,
    );
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      for (const row of rows) statement.run(...table.columns.map((column) => row[column] ?? null));
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  async refresh(): Promise<void> {}

  async close(): Promise<void> {
    this.#database.close();
  }
}
