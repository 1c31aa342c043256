/**
 * A request log of millions of rows in PostgreSQL: what a page and the overview of 90 days take, and what it takes to
 * drop half of it. Needs PostgreSQL's binaries.
 *
 * With `--url` it is in a database that stays, and may be made in turns of so many seconds: called again, it goes on. It
 * ends with 3 where there is more to make.
 *
 *   node bench/store/big-postgres.ts [--rows 10000000] [--url postgres://… [--seconds 200] [--drop]]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { firstIdAt } from '../../src/core/ids.ts';
import { openStore } from '../../src/store/index.ts';
import { inTransaction, kyselyOver, openPool } from '../../src/store/postgres/connection.ts';
import { ensurePartitions } from '../../src/store/postgres/partitions.ts';
import { makeDue, noteSinceLast } from '../../src/store/rollups.ts';
import { ownPostgres } from '../../test/support/postgres.ts';

const text = { type: 'string' } as const;
const { values } = parseArgs({ options: { rows: text, url: text, seconds: text, drop: { type: 'boolean' } } });
const deadline = performance.now() + Number(values.seconds ?? 1e9) * 1000;
const rows = Number(values.rows ?? 10_000_000);
const dayMs = 86_400_000;
const days = 90;
const today = Math.floor(Date.now() / dayMs);
const folder = mkdtempSync(join(tmpdir(), 'mizan-big-'));
const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function timed(what: string, work: () => Promise<unknown>, times = 20): Promise<void> {
  await work();
  const took: number[] = [];
  for (let i = 0; i < times; i++) {
    const startedAt = performance.now();
    await work();
    took.push(performance.now() - startedAt);
  }
  took.sort((a, b) => a - b);
  say(`${what}: ${took[Math.floor(times / 2)]?.toFixed(1)} ms in the middle, ${took.at(-1)?.toFixed(1)} ms at most`);
}

const server = values.url === undefined ? await ownPostgres() : null;
const url = values.url ?? (await server?.newDatabase()) ?? '';
const store = await openStore({ folder, url });
const pool = openPool(url, { max: 1, statementTimeoutMs: 0 });

async function end(code: number): Promise<never> {
  await pool.end();
  await store.close();
  await server?.end();
  rmSync(folder, { recursive: true, force: true });
  process.exit(code);
}

async function isThere(day: number): Promise<boolean> {
  const bounds = [firstIdAt(day * dayMs), firstIdAt((day + 1) * dayMs)];
  const { rowCount } = await pool.query('SELECT 1 FROM requests WHERE id >= $1 AND id < $2 LIMIT 1', bounds);
  return rowCount !== 0;
}

async function make(day: number): Promise<void> {
  await inTransaction(pool, async (client) => {
    await ensurePartitions(client, [day]);
    await client.query(
      `INSERT INTO requests (id, time, tenant, principal, agent, model, instance, provider, stream, status, error_code,
         attempts, cache, input_tokens, output_tokens, cost_usd, usage_source, gateway_ms, upstream_ms, finish_reason,
         resumed, error_message)
       SELECT 'req_' || digits || lpad(i::text, 16, '0'), time, 'default', 'someone', 'agent-' || i % 5,
         'model-' || (i % 5) % 3, 'i-' || (i / 5) % 2, 'openrouter', 0, CASE WHEN i % 50 = 0 THEN 502 ELSE 200 END,
         CASE WHEN i % 50 = 0 THEN 'upstream_error' END, 1, 'bypass', 120, 30, 0.00012, 'upstream', 0.4,
         20 + (i * 7919) % 3000, 'stop', 0, CASE WHEN i % 50 = 0 THEN 'openrouter answered with status 502.' END
       FROM (SELECT i, ($1::bigint + i * $2::double precision)::bigint AS time FROM generate_series(0, $3::bigint) i) r,
         LATERAL (SELECT string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', ((time >> (5 * k)) & 31)::int + 1, 1), ''
           ORDER BY k DESC) AS digits FROM generate_series(0, 9) k) d`,
      [day * dayMs, (dayMs * days) / rows, Math.floor(rows / days) - 1],
    );
  });
}

let startedAt = performance.now();
let made = 0;
for (let day = today - days; day < today; day++) {
  if (await isThere(day)) continue;
  await make(day);
  made++;
  if (performance.now() < deadline) continue;
  say(
    `${made} days made, up to ${today - day - 1} days ago, in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`,
  );
  await end(3);
}
if (made > 0) await pool.query('VACUUM ANALYZE');
say(`${made} days made in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
startedAt = performance.now();
const keeper = openPool(url, { max: 1, statementTimeoutMs: 0 });
const keeping = kyselyOver(keeper);
const isEmpty = async (table: 'rollups' | 'rollups_due'): Promise<boolean> =>
  (await keeper.query(`SELECT 1 FROM ${table} LIMIT 1`)).rowCount === 0;
if ((await isEmpty('rollups')) && (await isEmpty('rollups_due'))) await noteSinceLast(keeping);
while (performance.now() < deadline && (await makeDue(keeping))) continue;
const isSummedUp = await isEmpty('rollups_due');
await keeper.end();
say(`${isSummedUp ? 'all' : 'some'} sums made in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
if (!isSummedUp) await end(3);
const list = (query: object) => store.requestHistory.list('default', { limit: 50, ...query });
await timed('first page', () => list({}));
await timed('first page of errors', () => list({ status: 502 }));
await timed('a day in the middle', () => list({ from: (today - 45) * dayMs, to: (today - 44) * dayMs }));
const whole = { from: (today - days) * dayMs, to: today * dayMs };
say(`${(await store.overview('default', whole)).total.requests} requests summed up`);
await timed('overview of 90 days', () => store.overview('default', whole));
if (values.url === undefined || values.drop === true) {
  startedAt = performance.now();
  const { requests } = await store.removeOld({ log: 45, payloads: 14, rollups: 730 });
  say(`${requests} days dropped in ${(performance.now() - startedAt).toFixed(0)} ms`);
}
await end(0);
