import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type { Pool, PoolClient } from 'pg';
import type { DataKeysTable, TokenRevocationsTable } from '../schema.ts';
import { inTransaction } from './connection.ts';
import { sendDataKey } from './data-keys.ts';
import { sendRevocation } from './revocations.ts';

/** What is kept for requests, or for this file alone; everything else that has a key of numbers and texts is replicated. */
const notReplicated =
  /^(?:requests|attempts|payloads|rollups|rollups_due|jobs|job_runs|audit|audit_copies|kysely_.*|sqlite_.*|changes|replica|refused|seen_messages|ledger|budget_use)$/;

/** Changes that are sent at a time. */
const batchChanges = 200;

/** Columns that each file counts for itself. */
const ownColumns: Readonly<Record<string, readonly string[]>> = { data_keys: ['uses'] };

/** A small table that is the same here and in PostgreSQL. */
interface Replicated {
  readonly name: string;
  readonly columns: readonly string[];
  /** Those of them that are the same everywhere. */
  readonly shared: readonly string[];
  readonly key: readonly string[];
}

type Row = Readonly<Record<string, SQLInputValue>>;

/** A change that was made here and is not in PostgreSQL yet. */
interface Change {
  readonly seq: number;
  readonly table_name: string;
  /** A JSON array of the key's values. */
  readonly key: string;
  /** `*` for a new row, `''` for one that went, else the names of the columns that changed, each with a comma. */
  readonly columns: string;
}

/** What this file holds besides the tables of the migrations. */
export function furnishOutbox(local: DatabaseSync): void {
  local.exec(`
    CREATE TABLE IF NOT EXISTS changes (
      seq INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, key TEXT NOT NULL, columns TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS replica (table_name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS refused (row TEXT NOT NULL, error TEXT NOT NULL, time INTEGER NOT NULL);
  `);
}

/** The tables that hold keys, revocations and the like: read in memory's time here, and true in PostgreSQL. */
function replicatedTables(local: DatabaseSync): Replicated[] {
  const tables = local.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all();
  return tables
    .map(({ name }) => String(name))
    .filter((name) => !notReplicated.test(name))
    .flatMap((name) => {
      const columns = local.prepare('SELECT name, type, pk FROM pragma_table_info(?)').all(name);
      const key = columns.filter(({ pk }) => Number(pk) > 0).toSorted((a, b) => Number(a['pk']) - Number(b['pk']));
      if (key.length === 0 || key.some(({ type }) => /^blob$/i.test(String(type)))) return [];
      const names = (of: typeof columns): string[] => of.map((column) => String(column['name']));
      const own = ownColumns[name] ?? [];
      return [
        { name, columns: names(columns), shared: names(columns).filter((c) => !own.includes(c)), key: names(key) },
      ];
    });
}

/**
 * Notes what this connection changes in the replicated tables, in the same transaction, so that it reaches PostgreSQL
 * even if the process ends first. For as long as the connection lives.
 * @param noted Called with each change, before it is committed.
 */
export function noteChanges(local: DatabaseSync, noted: () => void): void {
  local.function('mizan_noted', () => {
    noted();
    return null;
  });
  for (const { name, shared, key } of replicatedTables(local)) {
    const keyOf = (row: string): string => `json_array(${key.map((column) => `${row}."${column}"`).join(', ')})`;
    const changed = shared
      .map((column) => `CASE WHEN old."${column}" IS NOT new."${column}" THEN '${column},' ELSE '' END`)
      .join(' || ');
    const note = (row: string, what: string): string =>
      `INSERT INTO changes (table_name, key, columns) VALUES ('${name}', ${keyOf(row)}, ${what}); SELECT mizan_noted()`;
    local.exec(`
      CREATE TEMP TRIGGER note_${name}_insert AFTER INSERT ON main."${name}" BEGIN ${note('new', "'*'")}; END;
      CREATE TEMP TRIGGER note_${name}_delete AFTER DELETE ON main."${name}" BEGIN ${note('old', "''")}; END;
      CREATE TEMP TRIGGER note_${name}_update AFTER UPDATE ON main."${name}" WHEN (${changed}) <> ''
        BEGIN ${note('new', changed)}; END;
    `);
  }
}

/** Lets every statement that changes a replicated table count it up, so that a look at one number tells of it. */
export async function watchTables(pool: Pool, local: DatabaseSync): Promise<void> {
  await inTransaction(pool, async (client) => {
    await client.query('SELECT pg_advisory_xact_lock(7226003)');
    await client.query(`
      CREATE TABLE IF NOT EXISTS table_versions (table_name text PRIMARY KEY, version bigint NOT NULL);
      CREATE OR REPLACE FUNCTION mizan_count_up() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN UPDATE table_versions SET version = version + 1 WHERE table_name = TG_TABLE_NAME; RETURN NULL; END $$`);
    for (const { name } of replicatedTables(local)) {
      await client.query('INSERT INTO table_versions VALUES ($1, 1) ON CONFLICT DO NOTHING', [name]);
      await client.query(`
        CREATE OR REPLACE TRIGGER mizan_count_up AFTER INSERT OR UPDATE OR DELETE ON "${name}"
        FOR EACH STATEMENT EXECUTE FUNCTION mizan_count_up()`);
    }
  });
}

/** Keeps the replicated tables of the local database and PostgreSQL the same. */
export class Replica {
  readonly #local: DatabaseSync;
  readonly #pool: Pool;
  readonly #tables: readonly Replicated[];
  readonly #changes: StatementSync;
  readonly #known: StatementSync;
  /** A data key went that the write-ahead log still has. */
  #isInLog = false;

  constructor(local: DatabaseSync, pool: Pool) {
    this.#local = local;
    this.#pool = pool;
    this.#tables = replicatedTables(local);
    this.#changes = local.prepare(`SELECT * FROM changes ORDER BY seq LIMIT ${batchChanges}`);
    this.#known = local.prepare('SELECT table_name, version FROM replica');
  }

  /** Sends what was changed here. @returns Whether anything was. */
  async send(): Promise<boolean> {
    let isAny = false;
    for (let sent = await this.#push(); sent > 0; sent = sent < batchChanges ? 0 : await this.#push()) isAny = true;
    return isAny;
  }

  /** Takes over what was changed elsewhere. @param versions How often each table was, in PostgreSQL. */
  async follow(versions: Readonly<Record<string, number>>): Promise<boolean> {
    const isAny = await this.#pull(versions);
    this.#shred();
    return isAny;
  }

  /** Sees that keys that were destroyed elsewhere are in no file here; at the next exchange, where somebody is in the way. */
  #shred(): void {
    if (!this.#isInLog) return;
    // Whoever writes meanwhile would have to wait, too.
    const waitMs = this.#local.prepare('PRAGMA busy_timeout').get()?.['timeout'];
    this.#local.exec('PRAGMA busy_timeout = 0');
    try {
      this.#isInLog = this.#local.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.['busy'] !== 0;
    } finally {
      this.#local.exec(`PRAGMA busy_timeout = ${Number(waitMs)}`);
    }
  }

  /** @returns How many. */
  async #push(): Promise<number> {
    const changes = this.#changes.all() as unknown as Change[];
    const last = changes.at(-1);
    if (last === undefined) return 0;
    await inTransaction(this.#pool, async (client) => {
      for (const change of changes) {
        await this.#send(client, change);
      }
    });
    this.#local.prepare('DELETE FROM changes WHERE seq <= ?').run(last.seq);
    return changes.length;
  }

  async #send(client: PoolClient, change: Change): Promise<void> {
    const table = this.#tables.find(({ name }) => name === change.table_name);
    if (table === undefined) return;
    const key = JSON.parse(change.key) as SQLInputValue[];
    const { name } = table;
    if (change.columns === '') {
      const where = table.key.map((column, i) => `"${column}" = $${i + 1}`).join(' AND ');
      await client.query(`DELETE FROM "${name}" WHERE ${where}`, key);
      return;
    }
    const found = table.key.map((column) => `"${column}" = ?`).join(' AND ');
    const row = this.#local.prepare(`SELECT * FROM "${name}" WHERE ${found}`).get(...key);
    // It was changed and went: the note of that comes later.
    if (row === undefined) return;
    if (change.columns === '*' && name === 'data_keys') {
      await sendDataKey(client, row as unknown as DataKeysTable);
      return;
    }
    if (name === 'token_revocations') {
      await sendRevocation(client, row as unknown as TokenRevocationsTable);
      return;
    }
    if (change.columns === '*') {
      const columns = table.columns.map((column) => `"${column}"`).join(', ');
      const places = table.columns.map((_, i) => `$${i + 1}`).join(', ');
      const values = table.columns.map((column) => bound(row[column]));
      await client.query(`INSERT INTO "${name}" (${columns}) VALUES (${places}) ON CONFLICT DO NOTHING`, values);
      return;
    }
    const changed = change.columns.split(',').filter((column) => column !== '');
    const set = changed.map((column, i) => `"${column}" = $${i + 1}`).join(', ');
    const where = table.key.map((column, i) => `"${column}" = $${changed.length + i + 1}`).join(' AND ');
    const values = changed.map((column) => bound(row[column]));
    await client.query(`UPDATE "${name}" SET ${set} WHERE ${where}`, [...values, ...key]);
  }

  /** @returns Whether there was anything. */
  async #pull(versions: Readonly<Record<string, number>>): Promise<boolean> {
    // From the file: another process on this folder may have taken something over, too.
    const known = new Map(this.#known.all().map((row) => [row['table_name'], row['version']]));
    let isAny = false;
    for (const [name, version] of Object.entries(versions)) {
      const table = this.#tables.find((each) => each.name === name);
      if (table === undefined || known.get(name) === version) continue;
      isAny = true;
      // Of data keys only one may be active at a time, here as well: those that no longer are come first.
      const order = name === 'data_keys' ? ' ORDER BY state DESC' : '';
      const { rows } = await this.#pool.query(`SELECT * FROM "${name}"${order}`);
      this.#takeOver(table, rows as Row[], version);
    }
    return isAny;
  }

  #takeOver(table: Replicated, rows: readonly Row[], version: number): void {
    // Of a key that was destroyed elsewhere, nothing is to be left in the file.
    this.#local.exec('PRAGMA secure_delete = ON; BEGIN IMMEDIATE');
    try {
      const waiting = this.#local.prepare('SELECT 1 FROM changes WHERE table_name = ? LIMIT 1').get(table.name);
      // What was changed here meanwhile has to be sent first; the next exchange does both.
      if (waiting === undefined) {
        this.#replace(table, rows);
        // Whoever remembers identities looks at this number.
        this.#local.exec('UPDATE identity_revision SET revision = revision + 1');
        this.#local
          .prepare(
            'INSERT INTO replica VALUES (?, ?) ON CONFLICT (table_name) DO UPDATE SET version = excluded.version',
          )
          .run(table.name, version);
      }
      this.#local.exec('COMMIT');
    } catch (error) {
      this.#local.exec('ROLLBACK');
      throw error;
    }
  }

  /** Only rows that differ are written, so that what others remember of the rest stays good. */
  #replace({ name, columns, shared, key }: Replicated, rows: readonly Row[]): void {
    const keyOf = (row: Row): string => JSON.stringify(key.map((column) => row[column]));
    const valuesOf = (row: Row): SQLInputValue[] => columns.map((column) => row[column] ?? null);
    const shownOf = (row: Row): string => shown(shared.map((column) => row[column] ?? null));
    const here = new Map(
      this.#local
        .prepare(`SELECT * FROM "${name}"`)
        .all()
        .map((row) => [keyOf(row), shownOf(row)]),
    );
    const quoted = columns.map((column) => `"${column}"`).join(', ');
    const put = this.#local.prepare(
      `INSERT INTO "${name}" (${quoted}) VALUES (${columns.map(() => '?').join(', ')})
       ON CONFLICT (${key.map((column) => `"${column}"`).join(', ')})
       DO UPDATE SET ${shared.map((column) => `"${column}" = excluded."${column}"`).join(', ')}`,
    );
    const remove = this.#local.prepare(`DELETE FROM "${name}" WHERE ${key.map((k) => `"${k}" = ?`).join(' AND ')}`);
    const there = new Set(rows.map(keyOf));
    for (const known of here.keys()) {
      if (there.has(known)) continue;
      remove.run(...(JSON.parse(known) as SQLInputValue[]));
      if (name === 'data_keys') this.#isInLog = true;
    }
    for (const row of rows) {
      if (here.get(keyOf(row)) !== shownOf(row)) put.run(...valuesOf(row));
    }
  }
}

function bound(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value) : value;
}

function shown(values: readonly SQLInputValue[]): string {
  return JSON.stringify(
    values.map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value)),
  );
}
