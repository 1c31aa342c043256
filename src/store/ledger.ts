import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { BudgetUse, LedgerFault, LedgerReport } from '../core/limit.ts';
import { picosPerUsd } from '../core/money.ts';
import { isPostgres } from './migrations/dialect.ts';
import type { Database } from './schema.ts';

interface Sums {
  readonly rows: number;
  readonly requests: number;
  readonly sum: string;
}

interface RequestSum {
  readonly id: string;
  readonly ledger: string;
  readonly expected: string;
}

interface BudgetSum {
  readonly budget: string;
  readonly start: number;
  readonly sum: string;
}

/** How long before now the longest period but `total` may have begun, with a day to spare for time zones, in days. */
const longestDays = 33;

/**
 * Periods that began before this are over, and their requests have left the log; in ms since the Unix epoch. But for
 * those of budgets in total, which begin at 0.
 * @param log How long the request log is kept, in days.
 */
export function oldPeriod(now: number, log: number): number {
  return now - Math.max(log, longestDays) * 86_400_000;
}

/** What budgets paid in the periods that begin at `starts`. */
export async function readUses(db: Kysely<Database>, starts: Iterable<number>): Promise<BudgetUse[]> {
  const wanted = [...starts];
  if (wanted.length === 0) return [];
  const rows = await db
    .selectFrom('budget_use')
    .select(['budget', 'start', 'used'])
    .where('start', 'in', wanted)
    .orderBy('budget')
    .orderBy('start')
    .execute();
  return rows.map(({ budget, start, used }) => ({ budget, start, used: BigInt(used) }));
}

/**
 * Adds the ledger up: the rows of each request against its cost in the request log, and the rows of each budget's
 * period against what the budget is taken to have paid.
 */
export async function checkLedger(db: Kysely<Database>): Promise<LedgerReport> {
  const {
    rows: [sums],
  } = await sql<Sums>`
    select count(*) as rows, count(distinct request_id) as requests, cast(coalesce(sum(cost), 0) as text) as sum
    from ledger`.execute(db);
  const faults: LedgerFault[] = (await wrongRequests(db)).map(({ id, ledger, expected }) => ({
    what: 'request',
    id,
    ledger: BigInt(ledger),
    expected: BigInt(expected),
  }));
  const used = new Map<string, bigint>();
  const uses = await db.selectFrom('budget_use').selectAll().execute();
  for (const row of uses) used.set(`${row.budget} ${row.start}`, BigInt(row.used) - BigInt(row.archived));
  for (const { budget, start, sum } of await budgetSums(db)) {
    const id = `${budget} ${start}`;
    const expected = used.get(id) ?? 0n;
    used.delete(id);
    if (expected !== BigInt(sum)) faults.push({ what: 'budget', id, ledger: BigInt(sum), expected });
  }
  for (const [id, expected] of used) if (expected !== 0n) faults.push({ what: 'budget', id, ledger: 0n, expected });
  const { rows = 0, requests = 0, sum = '0' } = sums ?? {};
  return { rows, requests, budgets: uses.length, sum: BigInt(sum), faults };
}

/** Costs that nobody could tell are null in the log, and not compared; so is what the log has no more. */
async function wrongRequests(db: Kysely<Database>): Promise<RequestSum[]> {
  const logged = sql`cast(round(r.cost_usd * ${sql.lit(picosPerUsd)}) as bigint)`;
  const { rows } = await sql<RequestSum>`
    select l.request_id as id, cast(l.sum as text) as ledger, cast(${logged} as text) as expected
    from (select tenant, request_id, sum(cost) as sum from ledger group by tenant, request_id) as l
    join requests as r on r.tenant = l.tenant and r.id = l.request_id
    where r.cost_usd is not null and l.sum <> ${logged}
    order by 1 limit 100`.execute(db);
  return rows;
}

async function budgetSums(db: Kysely<Database>): Promise<BudgetSum[]> {
  const query = isPostgres(db as Kysely<unknown>)
    ? sql<BudgetSum>`
        select b.value ->> 0 as budget, (b.value ->> 1)::bigint as start, cast(sum(l.cost) as text) as sum
        from ledger as l cross join lateral json_array_elements(l.budgets::json) as b group by 1, 2`
    : sql<BudgetSum>`
        select json_extract(b.value, '$[0]') as budget, json_extract(b.value, '$[1]') as start,
          cast(sum(l.cost) as text) as sum
        from ledger as l, json_each(l.budgets) as b group by 1, 2`;
  return (await query.execute(db)).rows;
}

/**
 * Removes rows of the ledger up to (and without) a request's id, some at a time. What they came to stays counted.
 * @returns Whether there may be more.
 */
export async function archiveSome(db: Kysely<Database>, below: string, atOnce: number): Promise<boolean> {
  const rows = await db
    .selectFrom('ledger')
    .select(['request_id', 'seq', 'cost', 'budgets'])
    .where('request_id', '<', below)
    .orderBy('request_id')
    .orderBy('seq')
    .limit(atOnce)
    .execute();
  const last = rows.at(-1);
  if (last === undefined) return false;
  const sums = new Map<string, bigint>();
  for (const { cost, budgets } of rows) {
    for (const budget of JSON.parse(budgets) as [string, number][]) {
      const key = JSON.stringify(budget);
      sums.set(key, (sums.get(key) ?? 0n) + BigInt(cost));
    }
  }
  for (const [key, sum] of sums) {
    const [budget, start] = JSON.parse(key) as [string, number];
    const row = await db
      .selectFrom('budget_use')
      .select('archived')
      .where('budget', '=', budget)
      .where('start', '=', start)
      .executeTakeFirst();
    const archived = String(BigInt(row?.archived ?? '0') + sum);
    await db
      .updateTable('budget_use')
      .set({ archived })
      .where('budget', '=', budget)
      .where('start', '=', start)
      .execute();
  }
  const isAlone = !isPostgres(db as Kysely<unknown>);
  await db
    .deleteFrom('ledger')
    .where((is) => {
      const place = is.refTuple('request_id', 'seq');
      // Beside others, a row that came in between has not been counted. SQLite has one writer, and no lists of tuples.
      if (isAlone) return is(place, '<=', is.tuple(last.request_id, last.seq));
      const places = rows.map((row) => is.tuple(row.request_id, row.seq));
      return is(place, 'in', places);
    })
    .execute();
  return rows.length === atOnce;
}
