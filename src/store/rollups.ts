import type { Insertable, Kysely, Selectable } from 'kysely';
import { sql } from 'kysely';
import { firstIdAt } from '../core/ids.ts';
import { isPostgres } from './migrations/dialect.ts';
import type { Database, RollupsTable } from './schema.ts';
import type { Sketch } from './sketch.ts';
import { addWritten, growth, leastMs, readSketch, writeSketch } from './sketch.ts';

/** The lengths of time that sums are kept for, in seconds; each is made of the one before. */
export const grains = { minute: 60, hour: 3600, day: 86_400 } as const;

const minuteMs = grains.minute * 1000;

/** Minutes whose sums are made in one transaction. */
const batchMinutes = 60;

/** How far the time in an id may be from the time of arrival, in ms. */
const slackMs = 60_000;

/** How long before its end a request may have arrived, in ms. */
const longestMs = 3_600_000;

/** On PostgreSQL one process at a time makes sums. */
const rollupLock = 7_226_004;

type Rollup = Selectable<RollupsTable>;

/** The first ms of the span of `grain` seconds that `time` lies in. */
export function startOf(time: number, grain: number): number {
  return Math.floor(time / (grain * 1000)) * grain * 1000;
}

/** Notes that the sums of these minutes (since the epoch) are not those of the log any more. */
export async function noteDue(db: Kysely<Database>, minutes: readonly number[]): Promise<void> {
  for (let i = 0; i < minutes.length; i += 500) {
    const rows = minutes.slice(i, i + 500).map((minute) => ({ minute }));
    await db
      .insertInto('rollups_due')
      .values(rows)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

/** Notes what came since the sums were made last, where nobody said what that was. */
export async function noteSinceLast(db: Kysely<Database>): Promise<void> {
  const minutes = db.selectFrom('rollups').select('start').where('grain', '=', grains.minute);
  const last = await minutes.orderBy('start', 'desc').limit(1).executeTakeFirst();
  await noteAllDue(db, last === undefined ? 0 : last.start - longestMs);
}

/** Every minute that has a request which arrived at `from` or later: their sums are made anew. */
async function noteAllDue(db: Kysely<Database>, from = 0): Promise<void> {
  for (const tenant of await tenantsOf(db)) {
    const rows = db.selectFrom('requests').where('tenant', '=', tenant);
    // Hour by hour, and past those without requests, so that no step takes long.
    for (let at: string = firstIdAt(from); ;) {
      const next = await rows.select(['id', 'time']).where('id', '>=', at).orderBy('id').limit(1).executeTakeFirst();
      if (next === undefined) break;
      const endOfHour = firstIdAt(startOf(next.time, grains.hour) + grains.hour * 1000);
      const end = endOfHour > next.id ? endOfHour : `${next.id}~`;
      const minute = sql<number>`time / ${sql.lit(minuteMs)}`.as('minute');
      const minutes = rows.select(minute).distinct().where('id', '>=', next.id).where('id', '<', end);
      await noteDue(
        db,
        (await minutes.execute()).map((row) => row.minute),
      );
      at = end;
    }
  }
}

/** Makes the sums of all that the log has anew. What the log has no more keeps its sums. */
export async function rebuildSums(db: Kysely<Database>): Promise<void> {
  await noteAllDue(db);
  while (await makeDue(db)) continue;
}

/**
 * Makes the sums of minutes that are due, newest first, and of their hours and days. One call at a time.
 * @returns Whether there may be more.
 */
export async function makeDue(db: Kysely<Database>): Promise<boolean> {
  if (!isPostgres(db as Kysely<unknown>)) return makeBatch(db, (write) => immediately(db, write));
  return db.transaction().execute(async (transaction) => {
    const { rows } = await sql<{ isOurs: boolean }>`
      select pg_try_advisory_xact_lock(${sql.lit(rollupLock)}) as "isOurs"`.execute(transaction);
    return rows[0]?.isOurs === true && makeBatch(transaction, (write) => write(transaction));
  });
}

type Write = (db: Kysely<Database>) => Promise<void>;

/** A short transaction of its own. SQLite's lock is taken before anything is read: a reader can't become a writer. */
export async function immediately<T>(db: Kysely<Database>, write: (db: Kysely<Database>) => Promise<T>): Promise<T> {
  return db.connection().execute(async (connection) => {
    await sql`begin immediate`.execute(connection);
    try {
      const result = await write(connection);
      await sql`commit`.execute(connection);
      return result;
    } catch (error) {
      await sql`rollback`.execute(connection);
      throw error;
    }
  });
}

async function makeBatch(db: Kysely<Database>, inTransaction: (write: Write) => Promise<void>): Promise<boolean> {
  const due = db.selectFrom('rollups_due').select('minute').orderBy('minute', 'desc').limit(batchMinutes);
  const minutes = (await due.execute()).map(({ minute }) => minute);
  if (minutes.length === 0) return false;
  const forget: Write = async (to) => {
    await to.deleteFrom('rollups_due').where('minute', 'in', minutes).execute();
  };
  // On PostgreSQL others note minutes meanwhile: what comes after this has to be noted again.
  if (isPostgres(db as Kysely<unknown>)) await forget(db);
  const starts = minutes.map((minute) => minute * minuteMs);
  for (const start of starts) {
    const sums = await sumsOfMinute(db, start);
    await inTransaction((to) => put(to, grains.minute, start, sums));
  }
  for (const [grain, finer] of [
    [grains.hour, grains.minute],
    [grains.day, grains.hour],
  ] as const) {
    for (const start of new Set(starts.map((time) => startOf(time, grain)))) {
      const sums = await sumsOf(db, finer, start, start + grain * 1000);
      await inTransaction((to) => put(to, grain, start, sums));
    }
  }
  if (!isPostgres(db as Kysely<unknown>)) await inTransaction(forget);
  return minutes.length === batchMinutes;
}

interface MinuteRow {
  readonly tenant: string;
  readonly agent: string;
  readonly model: string;
  readonly instance: string;
  readonly bin: number;
  readonly requests: number;
  readonly errors: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cost_usd: number;
}

async function sumsOfMinute(db: Kysely<Database>, start: number): Promise<Rollup[]> {
  const isWhole = isPostgres(db as Kysely<unknown>);
  const tenants = isWhole ? [null] : await tenantsOf(db);
  const sums = new Summing();
  for (const tenant of tenants) {
    const whose = tenant === null ? sql`true` : sql`tenant = ${tenant}`;
    const { rows } = await sql<MinuteRow>`
      select tenant, coalesce(agent, '') as agent, coalesce(model, '') as model, coalesce(instance, '') as instance,
        case when gateway_ms + upstream_ms <= ${sql.lit(leastMs)} then 0
          else cast(floor(ln((gateway_ms + upstream_ms) / ${sql.lit(leastMs)}) / ${sql.lit(Math.log(growth))}) as integer) + 1
        end as bin,
        count(*) as requests, count(error_code) as errors,
        cast(coalesce(sum(case when cache in ('hit', 'coalesced') then 0 else input_tokens end), 0) as bigint) as input_tokens,
        cast(coalesce(sum(case when cache in ('hit', 'coalesced') then 0 else output_tokens end), 0) as bigint) as output_tokens,
        coalesce(sum(cost_usd), 0.0) as cost_usd
      from requests
      where ${whose} and id >= ${firstIdAt(start - slackMs)} and id < ${firstIdAt(start + minuteMs + slackMs)}
        and time >= ${start} and time < ${start + minuteMs}
      group by 1, 2, 3, 4, 5`.execute(db);
    for (const { bin, ...row } of rows) {
      sums.add({ ...row, grain: grains.minute, start, latency: `${bin}:${row.requests}` });
    }
  }
  return sums.all();
}

async function sumsOf(db: Kysely<Database>, grain: number, from: number, to: number): Promise<Rollup[]> {
  const rows = db.selectFrom('rollups').selectAll().where('grain', '=', grain);
  const sums = new Summing();
  for (const row of await rows.where('start', '>=', from).where('start', '<', to).execute()) sums.add(row);
  return sums.all();
}

/** Adds rows up that are of the same names. */
class Summing {
  readonly #sums = new Map<string, { readonly row: Rollup; readonly latency: Sketch }>();

  add(row: Rollup): void {
    const key = JSON.stringify([row.tenant, row.agent, row.model, row.instance]);
    const found = this.#sums.get(key);
    if (found === undefined) {
      this.#sums.set(key, { row: { ...row }, latency: readSketch(row.latency) });
      return;
    }
    const { row: sum, latency } = found;
    sum.requests += row.requests;
    sum.errors += row.errors;
    sum.input_tokens += row.input_tokens;
    sum.output_tokens += row.output_tokens;
    sum.cost_usd += row.cost_usd;
    addWritten(latency, row.latency);
  }

  all(): Rollup[] {
    return [...this.#sums.values()].map(({ row, latency }) => ({ ...row, latency: writeSketch(latency) }));
  }
}

async function put(db: Kysely<Database>, grain: number, start: number, sums: readonly Rollup[]): Promise<void> {
  await db.deleteFrom('rollups').where('grain', '=', grain).where('start', '=', start).execute();
  for (let i = 0; i < sums.length; i += 50) {
    const rows: Insertable<RollupsTable>[] = sums.slice(i, i + 50).map((row) => ({ ...row, grain, start }));
    await db.insertInto('rollups').values(rows).execute();
  }
}

/** All that have a request, by leaping from one to the next. */
async function tenantsOf(db: Kysely<Database>): Promise<string[]> {
  const tenants: string[] = [];
  for (;;) {
    let select = db.selectFrom('requests').select('tenant').orderBy('tenant').limit(1);
    const last = tenants.at(-1);
    if (last !== undefined) select = select.where('tenant', '>', last);
    const next = await select.executeTakeFirst();
    if (next === undefined) return tenants;
    tenants.push(next.tenant);
  }
}
