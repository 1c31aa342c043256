import { randomBytes, randomInt } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ClientBase } from 'pg';
import { Client, escapeIdentifier } from 'pg';
import { MizanError, SetupError } from '../../../core/errors.ts';
import type { Renames } from '../../swap.ts';
import { swap } from '../../swap.ts';
import type { BackupEngine, DatabaseFacts, OnProgress, Part, Scratch, Snapshot } from '../contract.ts';
import { damaged, parseJson } from '../manifest.ts';
import type { AuditCopy } from './postgres-audit.ts';
import { AuditScratch, copyAudit } from './postgres-audit.ts';
import { postgresFacts, tableNames } from './postgres-facts.ts';
import type { TableStatements } from './postgres-schema.ts';
import { moveSchema, statementsOf, tablesSchema } from './postgres-schema.ts';

/** About how much is fetched and inserted at a time, in bytes; a first batch is of so many rows, and later ones by what they weigh. */
const batch = { bytes: 128 * 1024, rows: 50, mostRows: 5000 };

/** Under it, scratch schemas are made and removed: one at a time in a database. */
const scratchLock = 7_226_009;

const schemaPart = 'schema';
const tablePart = 'table:';

/** How every Mizan, and nobody else, calls its connections. */
const applicationName = 'mizan';

/** The tables of the schema that `url` leads to: `public`, or the first of its `search_path`. */
export function postgresEngine(dataFolder: string, url: string): BackupEngine {
  return {
    name: 'postgres',
    snapshot: (work, onProgress) => snapshot({ dataFolder, url, work }, onProgress),
    scratch: (work) => scratch({ dataFolder, url, work }),
  };
}

async function connected(url: string): Promise<Client> {
  const client = new Client({
    connectionString: url,
    application_name: `${applicationName}-backup`,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  // A connection that breaks is found by the next query.
  client.on('error', () => undefined);
  try {
    await client.connect();
    // Texts of values are hashed and sent: everywhere the same ones.
    await client.query(`SET statement_timeout = 0; SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres';
      SET bytea_output = 'hex'; SET extra_float_digits = 1`);
    return client;
  } catch (cause) {
    await client.end().catch(() => undefined);
    throw new SetupError("PostgreSQL can't be used for a backup", cause);
  }
}

interface Origin {
  readonly dataFolder: string;
  readonly url: string;
  readonly work: string;
}

async function snapshot({ dataFolder, url, work }: Origin, onProgress: OnProgress): Promise<Snapshot> {
  const client = await connected(url);
  try {
    const audit = await copyAudit(dataFolder, work);
    await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const facts = await postgresFacts(client, onProgress);
    const { rows } = await client.query<{ readonly bytes: string }>(
      `SELECT coalesce(sum(pg_table_size(c.oid)), 0)::text AS bytes FROM pg_class c
       JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'`,
    );
    return {
      facts: audit === null ? facts : { ...facts, tables: [...facts.tables, audit.facts] },
      bytes: Number(rows[0]?.bytes) + (audit?.bytes ?? 0),
      parts: () => parts(client, audit),
      close: () => client.end(),
    };
  } catch (cause) {
    await client.end();
    throw refused('be read', cause);
  }
}

async function* parts(client: ClientBase, audit: AuditCopy | null): AsyncGenerator<Part> {
  yield* audit?.parts() ?? [];
  yield { name: schemaPart, bytes: [Buffer.from(JSON.stringify(await statementsOf(client)))] };
  for (const name of await tableNames(client)) yield { name: `${tablePart}${name}`, bytes: rowsOf(client, name) };
}

/** The rows of a table, a JSON array of a batch on each line. */
async function* rowsOf(client: ClientBase, name: string): AsyncGenerator<Buffer> {
  await client.query(
    `DECLARE backup_rows NO SCROLL CURSOR FOR SELECT row_to_json(t)::text AS json FROM ${escapeIdentifier(name)} t`,
  );
  let count = batch.rows;
  for (;;) {
    const { rows } = await client.query<{ readonly json: string }>(`FETCH ${count} FROM backup_rows`);
    if (rows.length === 0) break;
    const line = Buffer.from(`[${rows.map(({ json }) => json).join(',')}]\n`);
    yield line;
    const fitting = Math.floor((rows.length * batch.bytes) / line.length);
    count = Math.min(Math.max(fitting, 1), batch.mostRows);
  }
  await client.query('CLOSE backup_rows');
}

async function scratch({ dataFolder, url, work }: Origin): Promise<Scratch> {
  const client = await connected(url);
  try {
    const { rows } = await client.query<{ readonly schema: string; readonly isFree: boolean }>(
      `SELECT current_schema() AS schema, pg_try_advisory_lock(${scratchLock}) AS "isFree"`,
    );
    const [found] = rows;
    if (found?.isFree !== true) throw new MizanError('backup_running', 'Another backup of this database is verified.');
    await dropOldScratches(client);
    const name = `mizan_scratch_${randomBytes(4).toString('hex')}`;
    await client.query(`CREATE SCHEMA ${name}; SET search_path = ${name}`);
    return new PostgresScratch(client, { dataFolder, work, schema: found.schema, scratch: name });
  } catch (cause) {
    await client.end();
    throw refused('make a scratch schema', cause);
  }
}

/** What PostgreSQL said, in one line: a right that is missing, a lock that others hold, a connection that broke. */
function refused(what: string, cause: unknown): Error {
  return cause instanceof MizanError ? cause : new SetupError(`PostgreSQL would not ${what}`, cause);
}

async function dropOldScratches(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ readonly name: string }>(
    `SELECT nspname AS name FROM pg_namespace WHERE nspname ~ '^mizan_scratch_[0-9a-f]{8}$'`,
  );
  for (const { name } of rows) await client.query(`DROP SCHEMA ${escapeIdentifier(name)} CASCADE`);
}

interface Place {
  readonly dataFolder: string;
  readonly work: string;
  /** Where the tables in use are. */
  readonly schema: string;
  readonly scratch: string;
}

class PostgresScratch implements Scratch {
  readonly #client: Client;
  readonly #place: Place;
  readonly #audit: AuditScratch;
  #statements: TableStatements = { before: [], after: [] };

  constructor(client: Client, place: Place) {
    this.#client = client;
    this.#place = place;
    this.#audit = new AuditScratch(place.work);
  }

  async take(part: Part): Promise<void> {
    if (await this.#audit.take(part)) return;
    if (part.name === schemaPart) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of part.bytes) chunks.push(chunk);
      this.#statements = parseJson(Buffer.concat(chunks), tablesSchema, 'its list of tables');
      await this.#run(this.#statements.before);
    } else if (part.name.startsWith(tablePart)) {
      await this.#fill(part.name.slice(tablePart.length), part.bytes);
    }
  }

  async facts(onProgress: OnProgress): Promise<DatabaseFacts> {
    await this.#run(this.#statements.after);
    const facts = await postgresFacts(this.#client, onProgress);
    return { ...facts, tables: [...facts.tables, ...this.#audit.facts()] };
  }

  async adopt(): Promise<string | null> {
    const { dataFolder, schema, scratch: name } = this.#place;
    const aside = `before_restore_${new Date().toISOString().slice(0, 19).replaceAll(/\D/g, '')}`;
    const client = this.#client;
    await this.#needAlone();
    const asideFolder = aside.replaceAll('_', '-');
    const audit = this.#audit.renames(dataFolder, asideFolder);
    await client.query('BEGIN');
    try {
      await client.query(`SET LOCAL lock_timeout = '10s'; SET LOCAL search_path = ${escapeIdentifier(schema)}`);
      const hadTables = (await tableNames(client)).length > 0;
      if (hadTables) {
        await client.query(`CREATE SCHEMA ${aside}`);
        await moveSchema(client, schema, aside);
      }
      await moveSchema(client, name, schema);
      await countUp(client, schema);
      await client.query('COMMIT');
      swapLocal(dataFolder, [...outboxRenames(dataFolder, asideFolder), ...audit]);
      return hadTables ? `the schema ${aside} of the database` : null;
    } catch (cause) {
      await client.query('ROLLBACK').catch(() => undefined);
      for (const [from] of audit) if (from.endsWith('.restored')) rmSync(join(dataFolder, from), { force: true });
      throw refused('put the backup in place', cause);
    }
  }

  async close(): Promise<void> {
    await this.#client.query(`DROP SCHEMA IF EXISTS ${this.#place.scratch} CASCADE`).catch(() => undefined);
    await this.#client.end();
  }

  async #run(statements: readonly string[]): Promise<void> {
    for (const statement of statements) {
      await this.#client.query(statement).catch((error: unknown) => {
        throw damaged(`a table of it can't be made (${error instanceof Error ? error.message : String(error)})`);
      });
    }
  }

  async #fill(table: string, bytes: Part['bytes']): Promise<void> {
    const name = escapeIdentifier(table);
    const { rows } = await this.#client.query<{ readonly column: string }>(
      `SELECT quote_ident(attname) AS column FROM pg_attribute
       WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum`,
      [name],
    );
    const columns = rows.map(({ column }) => column).join(', ');
    const insert = `INSERT INTO ${name} (${columns}) OVERRIDING SYSTEM VALUE
      SELECT ${columns} FROM json_populate_recordset(NULL::${name}, $1::json)`;
    for await (const line of linesOf(bytes)) await this.#client.query(insert, [line]);
  }

  /** Others may be on other machines: only the server knows. */
  async #needAlone(): Promise<void> {
    const { rows } = await this.#client.query<{ readonly count: string }>(
      `SELECT count(*)::text AS count FROM pg_stat_activity
       WHERE application_name = $1 AND datname = current_database()`,
      [applicationName],
    );
    if (rows[0]?.count === '0') return;
    throw new MizanError('backup_running', 'A Mizan is connected to the database. Stop every one first.');
  }
}

/**
 * What Mizans on other machines took over of small tables, they know by versions. Those of the backup may come to be the
 * same again with other rows behind them, so they leap to where none has been.
 */
async function countUp(client: ClientBase, schema: string): Promise<void> {
  await client.query(`SET LOCAL search_path = ${escapeIdentifier(schema)}`);
  const names = await tableNames(client);
  if (!names.includes('table_versions')) return;
  await client.query('UPDATE table_versions SET version = version + $1', [randomInt(2 ** 20, 2 ** 40)]);
}

/** What a Mizan before PostgreSQL keeps locally belongs to the data that was in use. */
function outboxRenames(dataFolder: string, aside: string): Renames {
  if (!existsSync(dataFolder)) return [];
  const files = readdirSync(dataFolder).filter((name) => /^outbox\.db(?:-wal|-shm)?$/.test(name));
  return files.map((name) => [name, join(aside, name)] as const);
}

function swapLocal(dataFolder: string, renames: Renames): void {
  if (renames.length > 0) swap(dataFolder, renames);
}

async function* linesOf(bytes: Part['bytes']): AsyncGenerator<string> {
  let waiting: Uint8Array[] = [];
  for await (const chunk of bytes) {
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      yield Buffer.concat([...waiting, chunk.subarray(from, end)]).toString();
      waiting = [];
      from = end + 1;
    }
    waiting.push(chunk.subarray(from));
  }
}
