import { createHash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { DatabaseFacts, OnProgress, TableFacts } from '../contract.ts';

/** Rows that are hashed at a time. */
const batch = 64;

/** What a SQLite database holds: every table but SQLite's own, whoever made it. */
export function sqliteFacts(database: DatabaseSync, onProgress: OnProgress): DatabaseFacts {
  const rows = database
    .prepare(
      // What a virtual table holds lies in tables of its own, its shadows.
      `SELECT name FROM pragma_table_list
       WHERE schema = 'main' AND type IN ('table', 'shadow') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name`,
    )
    .all();
  const names = rows.map(({ name }) => String(name));
  const tables = names.map((name, i) => {
    const told = (): void => onProgress({ step: 'counting', done: i, total: names.length });
    told();
    return sqliteTableFacts(database, name, told);
  });
  return { migrations: migrationsOf(database, names), tables };
}

function migrationsOf(database: DatabaseSync, tables: readonly string[]): string[] {
  if (!tables.includes('kysely_migration')) return [];
  const rows = database.prepare('SELECT name FROM kysely_migration ORDER BY name').all();
  return rows.map(({ name }) => String(name));
}

/** What one table holds. @param onBatch Called after some rows each. */
export function sqliteTableFacts(database: DatabaseSync, name: string, onBatch: () => void = () => {}): TableFacts {
  const table = quoted(name);
  const columns = database.prepare(`SELECT name FROM pragma_table_xinfo(?)`).all(name);
  // Every value as SQLite would write it in SQL: no two values of any type are written the same.
  const row = columns.map((column) => `quote(${quoted(String(column['name']))})`).join(', ');
  const statement = database.prepare(`SELECT concat_ws(',', ${row}) FROM ${table} NOT INDEXED`);
  statement.setReturnArrays(true);
  const hash = createHash('sha256');
  let count = 0;
  let waiting: string[] = [];
  for (const values of statement.iterate() as Iterable<unknown>) {
    waiting.push((values as [string])[0]);
    count++;
    if (waiting.length < batch) continue;
    hash.update(`${waiting.join('\n')}\n`);
    waiting = [];
    onBatch();
  }
  if (waiting.length > 0) hash.update(`${waiting.join('\n')}\n`);
  return { name, rows: count, sha256: hash.digest('hex') };
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
