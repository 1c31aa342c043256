import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type { Pool, PoolClient } from 'pg';
import { inTransaction } from './connection.ts';
import { dayOfId, ensurePartitions } from './partitions.ts';

/** Rows that are sent at a time; payloads are large. */
const batchRows = 500;
const batchPayloads = 32;

type Row = Readonly<Record<string, unknown>>;

/** Rows of one kind, with what it takes to remove them here once they are there. */
interface Batch {
  readonly requests: readonly Row[];
  readonly attempts: readonly Row[];
  readonly ledger: readonly Row[];
  readonly payloads: readonly Row[];
}

export interface Shipped {
  /** Rows of the request log and payloads that are in PostgreSQL now, or were there before. */
  readonly rows: number;
  /** Of those, the ones that PostgreSQL refused and that were put aside. */
  readonly refused: number;
  /** Whether there may be more. */
  readonly isMore: boolean;
}

/**
 * Moves the rows that wait in the local database to PostgreSQL. Each arrives once: a row is removed here only after it
 * is committed there, and one that is sent twice is left as it is.
 */
export class Outbox {
  readonly #local: DatabaseSync;
  readonly #pool: Pool;
  readonly #requests: StatementSync;
  readonly #payloads: StatementSync;
  /** Days whose partitions are known to be there. */
  readonly #days = new Set<number>();

  constructor(local: DatabaseSync, pool: Pool) {
    this.#local = local;
    this.#pool = pool;
    this.#requests = local.prepare(`SELECT * FROM requests LIMIT ${batchRows}`);
    this.#payloads = local.prepare(`SELECT * FROM payloads LIMIT ${batchPayloads}`);
  }

  /** Rows of the request log that wait. It looks at all of them. */
  count(): number {
    return Number(this.#local.prepare('SELECT count(*) AS n FROM requests').get()?.['n']);
  }

  /** Sends one batch. @throws whatever the connection throws where PostgreSQL is away; nothing is lost by it. */
  async ship(): Promise<Shipped> {
    const batch = this.#next();
    const { requests, payloads } = batch;
    if (requests.length === 0 && payloads.length === 0) return { rows: 0, refused: 0, isMore: false };
    const refused = await this.#send(batch);
    this.#remove(batch);
    const isMore = requests.length === batchRows || payloads.length === batchPayloads;
    return { rows: requests.length + payloads.length, refused, isMore };
  }

  #next(): Batch {
    const requests = this.#requests.all();
    const payloads = this.#payloads.all();
    if (requests.length === 0) return { requests, attempts: [], ledger: [], payloads };
    const ids = JSON.stringify(requests.map(({ id }) => id));
    const attempts = this.#local
      .prepare('SELECT * FROM attempts WHERE request_id IN (SELECT value FROM json_each(?))')
      .all(ids);
    const ledger = this.#local
      .prepare('SELECT * FROM ledger WHERE request_id IN (SELECT value FROM json_each(?))')
      .all(ids);
    return { requests, attempts, ledger, payloads };
  }

  /** A row that PostgreSQL refuses is found by halving, and put aside, so that it doesn't hold up those after it. */
  async #send(batch: Batch): Promise<number> {
    try {
      await inTransaction(this.#pool, (client) => this.#insert(client, batch));
      return 0;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#days.clear();
      const { requests, payloads } = batch;
      if (requests.length + payloads.length === 1) {
        this.#putAside(batch, String(error));
        return 1;
      }
      const [first, second] = halved(batch);
      return (await this.#send(first)) + (await this.#send(second));
    }
  }

  async #insert(client: PoolClient, { requests, attempts, ledger, payloads }: Batch): Promise<void> {
    // What is removed here has to survive a crash of the server there, also where others chose speed.
    await client.query(
      "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'",
    );
    const ids = [...requests.map(({ id }) => id), ...payloads.map((row) => row['request_id'])];
    const days = new Set(ids.map((id) => dayOfId(String(id))).filter((day) => day !== null));
    const missing = [...days].filter((day) => !this.#days.has(day));
    if (missing.length > 0) await ensurePartitions(client, missing);
    await insertRows(client, 'requests', requests);
    await insertRows(client, 'attempts', attempts);
    await insertLedger(client, ledger);
    await insertPayloads(client, payloads);
    const minutes = [...new Set(requests.map(({ time }) => Math.floor(Number(time) / 60_000)))];
    await client.query('INSERT INTO rollups_due SELECT unnest($1::bigint[]) ORDER BY 1 ON CONFLICT DO NOTHING', [
      minutes,
    ]);
    for (const day of days) this.#days.add(day);
    // Partitions may be dropped by whoever clears up, so that what is known of them isn't kept for long.
    if (this.#days.size > 1000) this.#days.clear();
  }

  #remove({ requests, ledger, payloads }: Batch): void {
    const one = this.#local.prepare('DELETE FROM requests WHERE tenant = ? AND id = ?');
    const steps = this.#local.prepare('DELETE FROM attempts WHERE request_id = ?');
    const charges = this.#local.prepare('DELETE FROM ledger WHERE request_id = ?');
    const charged = new Set(ledger.map((row) => row['request_id']));
    const payload = this.#local.prepare('DELETE FROM payloads WHERE tenant = ? AND request_id = ?');
    // Short transactions: the hot thread writes to the same file.
    for (let i = 0; i < Math.max(requests.length, payloads.length); i += 100) {
      this.#local.exec('BEGIN IMMEDIATE');
      for (const row of requests.slice(i, i + 100)) {
        one.run(row['tenant'] as SQLInputValue, row['id'] as SQLInputValue);
        if (Number(row['attempts']) > 1) steps.run(row['id'] as SQLInputValue);
        if (charged.has(row['id'])) charges.run(row['id'] as SQLInputValue);
      }
      for (const row of payloads.slice(i, i + 100)) {
        payload.run(row['tenant'] as SQLInputValue, row['request_id'] as SQLInputValue);
      }
      this.#local.exec('COMMIT');
    }
  }

  #putAside({ requests, payloads }: Batch, error: string): void {
    const [row] = [...requests, ...payloads.map(({ tenant, request_id: id }) => ({ tenant, id }))];
    this.#local
      .prepare('INSERT INTO refused (row, error, time) VALUES (?, ?, ?)')
      .run(JSON.stringify(row), error, Date.now());
  }
}

/** What PostgreSQL calls a mistake in the data (class 22) or a broken constraint (23): another try changes nothing. */
function isRefusal(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^2[23]/.test(code);
}

function halved({ requests, attempts, ledger, payloads }: Batch): readonly [Batch, Batch] {
  const all = requests.length > 1 || payloads.length === 0 ? requests : [];
  const middle = Math.ceil(all.length / 2);
  const first = all.length === 0 ? requests : all.slice(0, middle);
  const ids = new Set(first.map(({ id }) => id));
  const isFirst = (step: Row): boolean => ids.has(step['request_id']);
  const half = requests.length > 0 ? 0 : Math.ceil(payloads.length / 2);
  return [
    {
      requests: first,
      attempts: attempts.filter(isFirst),
      ledger: ledger.filter(isFirst),
      payloads: payloads.slice(0, half),
    },
    {
      requests: requests.slice(first.length),
      attempts: attempts.filter((step) => !isFirst(step)),
      ledger: ledger.filter((row) => !isFirst(row)),
      payloads: payloads.slice(half),
    },
  ];
}

/** As one JSON document: one parameter, whatever the number of rows. PostgreSQL's texts can't hold U+0000. */
async function insertRows(client: PoolClient, table: 'requests' | 'attempts', rows: readonly Row[]): Promise<void> {
  if (rows.length === 0) return;
  const json = JSON.stringify(rows, (_key, value: unknown) =>
    typeof value === 'string' ? value.replaceAll('\u0000', '\uFFFD') : value,
  );
  await client.query(
    `INSERT INTO ${table} SELECT * FROM json_populate_recordset(NULL::${table}, $1::json) ON CONFLICT DO NOTHING`,
    [json],
  );
}

/** What is there already was counted when it came. */
async function insertLedger(client: PoolClient, rows: readonly Row[]): Promise<void> {
  if (rows.length === 0) return;
  await client.query(
    `WITH came AS (
       INSERT INTO ledger SELECT * FROM json_populate_recordset(NULL::ledger, $1::json)
       ON CONFLICT DO NOTHING RETURNING cost, budgets
     ), sums AS (
       SELECT b.value ->> 0 AS budget, (b.value ->> 1)::bigint AS start, sum(cost) AS cost
       FROM came CROSS JOIN LATERAL json_array_elements(budgets::json) AS b GROUP BY 1, 2 ORDER BY 1, 2
     )
     INSERT INTO budget_use (budget, start, used, archived) SELECT budget, start, cost::text, '0' FROM sums
     ON CONFLICT (budget, start) DO UPDATE SET used = (budget_use.used::numeric + excluded.used::numeric)::text`,
    [JSON.stringify(rows)],
  );
}

async function insertPayloads(client: PoolClient, rows: readonly Row[]): Promise<void> {
  for (const row of rows) {
    const columns = Object.keys(row);
    const places = columns.map((_, i) => `$${i + 1}`);
    await client.query(
      `INSERT INTO payloads (${columns.join(', ')}) VALUES (${places.join(', ')}) ON CONFLICT DO NOTHING`,
      columns.map((column) => bound(row[column])),
    );
  }
}

function bound(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value) : value;
}
