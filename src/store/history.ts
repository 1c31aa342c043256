import type { Expression, ExpressionBuilder, Kysely, Selectable, SqlBool } from 'kysely';
import { sql } from 'kysely';
import { MizanError } from '../core/errors.ts';
import { firstIdAt, timeOfId } from '../core/ids.ts';
import type { RequestHistory, RequestPage, RequestQuery, RequestRecord, TenantScope } from '../core/request-record.ts';
import { everyTenant, pageOf } from '../core/request-record.ts';
import { isPostgres } from './migrations/dialect.ts';
import { recordOf, stepOf } from './records.ts';
import type { Database, RequestsTable } from './schema.ts';

/** Rows that are looked through at a time where most may not fit, few at first; others get their turn in between. */
const stride = { first: 500, growth: 4, most: 20_000 };

/** What is looked through first where partitions are by day, in days back from the newest that is asked for. */
const spanDays = [1, 8];

const dayMs = 86_400_000;

/** How far the time in an id may be from the time of arrival, in ms. */
const slackMs = 60_000;

type Row = Selectable<RequestsTable>;

/** A range of ids that is walked in one direction. */
interface Walk {
  readonly tenant: string;
  readonly from: string | undefined;
  readonly below: string | undefined;
  readonly direction: 'asc' | 'desc';
  readonly after: string | undefined;
}

export interface HistoryOptions {
  /** How long one question may be looked for, in ms. */
  readonly limitMs?: number;
  readonly now?: () => number;
  /** Called between two strides, where the database is read on this very thread and others want a turn. */
  readonly breathe?: () => Promise<void>;
  /** Makes pages, where another thread does. */
  readonly page?: RequestHistory['page'];
}

/** Reads the request log, newest first, on either engine. */
export class KyselyRequestHistory implements RequestHistory {
  readonly #database: Kysely<Database>;
  readonly #limitMs: number;
  readonly #now: () => number;
  readonly #breathe: (() => Promise<void>) | null;
  readonly #page: RequestHistory['page'] | null;

  constructor(database: Kysely<Database>, options: HistoryOptions = {}) {
    this.#database = database;
    this.#limitMs = options.limitMs ?? 5000;
    this.#now = options.now ?? Date.now;
    this.#breathe = options.breathe ?? null;
    this.#page = options.page ?? null;
  }

  async page(scope: TenantScope, query: RequestQuery): Promise<RequestPage> {
    return this.#page === null ? pageOf(await this.list(scope, query)) : this.#page(scope, query);
  }

  async list(scope: TenantScope, query: RequestQuery): Promise<RequestRecord[]> {
    if (scope !== everyTenant) return this.#listOf(scope, query);
    const lists = await Promise.all((await this.tenants()).map((tenant) => this.#listOf(tenant, query)));
    const newestFirst = lists.flat().toSorted((a, b) => (a.id < b.id ? 1 : -1));
    return query.after === undefined ? newestFirst.slice(0, query.limit) : newestFirst.slice(-query.limit);
  }

  async find(scope: TenantScope, id: string): Promise<RequestRecord | undefined> {
    const tenants = scope === everyTenant ? await this.tenants() : [scope];
    if (tenants.length === 0) return undefined;
    const select = this.#database.selectFrom('requests').selectAll().where('tenant', 'in', tenants);
    const row = await select.where('id', '=', id).executeTakeFirst();
    if (row === undefined) return undefined;
    const attempts = this.#database.selectFrom('attempts').selectAll().where('request_id', '=', id).orderBy('seq');
    const trail = (await attempts.execute()).map(stepOf);
    return recordOf(row, trail.length === 0 ? null : trail);
  }

  async #listOf(tenant: string, query: RequestQuery): Promise<RequestRecord[]> {
    const { from, to, before, after } = query;
    const upper = to === undefined ? undefined : firstIdAt(to + slackMs);
    const walk: Walk = {
      tenant,
      from: from === undefined ? undefined : firstIdAt(from - slackMs),
      below: upper === undefined || (before !== undefined && before < upper) ? before : upper,
      after,
      direction: after !== undefined && before === undefined ? 'asc' : 'desc',
    };
    const giveUpAt = performance.now() + this.#limitMs;
    const rows: Row[] = [];
    for (const span of this.#spans(walk)) {
      if (rows.length >= query.limit) break;
      rows.push(...(await this.#walk(span, { ...query, limit: query.limit - rows.length }, giveUpAt)));
    }
    if (walk.direction === 'asc') rows.reverse();
    return rows.map((row) => recordOf(row, null));
  }

  /**
   * The newest day first, then the week before it, then all that is older. PostgreSQL opens every partition that a question
   * might need, one for each day, and what is asked for is in the first as a rule.
   */
  *#spans(walk: Walk): Generator<Walk> {
    const isOpen = walk.direction === 'desc' && walk.from === undefined && walk.after === undefined;
    const newest = walk.below === undefined ? this.#now() : timeOfId(walk.below);
    let { below } = walk;
    if (isOpen && newest !== null && isPostgres(this.#database as Kysely<unknown>)) {
      for (const days of spanDays) {
        const from = firstIdAt(newest - days * dayMs);
        yield { ...walk, below, from };
        below = from;
      }
    }
    yield { ...walk, below };
  }

  /** Stride by stride, so that a question which few rows answer neither holds up others nor goes on for ever. */
  async #walk(walk: Walk, query: RequestQuery, giveUpAt: number): Promise<Row[]> {
    const isErrorsOnly = query.error !== undefined || (query.status !== undefined && query.status !== 200);
    const isWhole = !isFiltered(query);
    const rows: Row[] = [];
    let length: number = stride.first;
    let rest: Walk | null = walk;
    while (rest !== null && rows.length < query.limit) {
      if (performance.now() > giveUpAt) throw tooCostly(this.#limitMs);
      const end: string | undefined = isWhole ? undefined : await this.#endOfStride(rest, isErrorsOnly, length);
      const here: Walk = end === undefined ? rest : upTo(rest, end);
      const found = this.#rows(here, isErrorsOnly).selectAll().where(this.#filter(query));
      rows.push(
        ...(await found
          .orderBy('id', rest.direction)
          .limit(query.limit - rows.length)
          .execute()),
      );
      length = Math.min(length * stride.growth, stride.most);
      rest = end === undefined ? null : beyond(rest, end);
      if (rest !== null) await this.#breathe?.();
    }
    return rows;
  }

  #rows(walk: Walk, isErrorsOnly: boolean) {
    let select = this.#database.selectFrom('requests').where('tenant', '=', walk.tenant);
    if (isErrorsOnly) select = select.where('error_code', 'is not', null);
    if (walk.from !== undefined) select = select.where('id', '>=', walk.from);
    if (walk.after !== undefined) select = select.where('id', '>', walk.after);
    if (walk.below !== undefined) select = select.where('id', '<', walk.below);
    return select;
  }

  /** The id from which on the next stride goes; none where this one is the last. */
  async #endOfStride(walk: Walk, isErrorsOnly: boolean, length: number): Promise<string | undefined> {
    const select = this.#rows(walk, isErrorsOnly).select('id').orderBy('id', walk.direction);
    return (await select.limit(1).offset(length).executeTakeFirst())?.id;
  }

  #filter(query: RequestQuery) {
    const { agent, model, instance, session, status, error, from, to, minLatencyMs, minCostUsd, tag } = query;
    return (is: ExpressionBuilder<Database, 'requests'>): Expression<SqlBool> => {
      const all: Expression<SqlBool>[] = [];
      if (agent !== undefined) all.push(is('agent', '=', agent));
      if (model !== undefined) all.push(is('model', '=', model));
      if (instance !== undefined) all.push(is('instance', '=', instance));
      if (session !== undefined) all.push(is('session', '=', session));
      if (status !== undefined) all.push(is('status', '=', status));
      if (from !== undefined) all.push(is('time', '>=', from));
      if (to !== undefined) all.push(is('time', '<', to));
      if (minLatencyMs !== undefined) all.push(sql<SqlBool>`gateway_ms + upstream_ms >= ${minLatencyMs}`);
      if (minCostUsd !== undefined) all.push(is('cost_usd', '>=', minCostUsd));
      if (error !== undefined) all.push(contains(error));
      if (tag !== undefined) all.push(this.#hasTag(tag.name, tag.value));
      return is.and(all);
    };
  }

  #hasTag(name: string, value: string): Expression<SqlBool> {
    if (isPostgres(this.#database as Kysely<unknown>)) return sql<SqlBool>`tags::json ->> ${name}::text = ${value}`;
    return sql<SqlBool>`json_extract(tags, ${`$.${JSON.stringify(name)}`}) = ${value}`;
  }

  async count(tenant: string): Promise<number> {
    const count = this.#database.selectFrom('requests').select((is) => is.fn.countAll<number>().as('n'));
    return (await count.where('tenant', '=', tenant).executeTakeFirst())?.n ?? 0;
  }

  /** All that have a row, by leaping from one to the next: as many steps as tenants, not as rows. */
  async tenants(): Promise<string[]> {
    const tenants: string[] = [];
    for (;;) {
      let select = this.#database.selectFrom('requests').select('tenant').orderBy('tenant').limit(1);
      const last = tenants.at(-1);
      if (last !== undefined) select = select.where('tenant', '>', last);
      const next = await select.executeTakeFirst();
      if (next === undefined) return tenants;
      tenants.push(next.tenant);
    }
  }
}

const pagingOnly: ReadonlySet<string> = new Set(['limit', 'before', 'after']);

function isFiltered(query: RequestQuery): boolean {
  return Object.entries(query).some(([key, value]) => value !== undefined && !pagingOnly.has(key));
}

/** The stride that goes up to `end`, which it does not include. */
function upTo(walk: Walk, end: string): Walk {
  return walk.direction === 'desc' ? { ...walk, after: end } : { ...walk, below: end };
}

function beyond(walk: Walk, end: string): Walk {
  return walk.direction === 'desc' ? { ...walk, below: `${end}\u0001` } : { ...walk, from: end, after: undefined };
}

function contains(text: string): Expression<SqlBool> {
  const pattern = `%${text.toLowerCase().replaceAll(/[\\%_]/g, (special) => `\\${special}`)}%`;
  return sql<SqlBool>`(lower(error_code) like ${pattern} escape '\\' or lower(error_message) like ${pattern} escape '\\')`;
}

function tooCostly(limitMs: number): MizanError {
  return new MizanError(
    'query_too_costly',
    `Nothing was found in ${limitMs / 1000} s: too many requests would have to be looked through. Narrow it with from and to.`,
    { param: 'from' },
  );
}
