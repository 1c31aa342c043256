/**
 * A request log of millions of rows in PostgreSQL: what a page and the overview of 90 days take, and what it takes to
 * drop half of it. Needs PostgreSQL's binaries.
 *
 *   node bench/store/big-postgres.ts [--rows 10000000]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openStore } from '../../src/store/index.ts';
import { inTransaction, openPool } from '../../src/store/postgres/connection.ts';
import { ensurePartitions } from '../../src/store/postgres/partitions.ts';
import { ownPostgres } from '../../test/support/postgres.ts';

const { values } = parseArgs({ options: { rows: { type: 'string' } } });
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

const server = await ownPostgres();
const url = await server.newDatabase();
const store = await openStore({ folder, url });
const pool = openPool(url, { max: 1, statementTimeoutMs: 0 });
let startedAt = performance.now();
for (let day = today - days; day < today; day++) {
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
await pool.query('VACUUM ANALYZE');
say(`${rows} rows in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
const list = (query: object) => store.requestHistory.list('default', { limit: 50, ...query });
await timed('first page', () => list({}));
await timed('first page of errors', () => list({ status: 502 }));
await timed('a day in the middle', () => list({ from: (today - 45) * dayMs, to: (today - 44) * dayMs }));
startedAt = performance.now();
await store.rebuildSums();
say(`all sums made in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
const whole = { from: (today - days) * dayMs, to: today * dayMs };
say(`${(await store.overview('default', whole)).total.requests} requests summed up`);
await timed('overview of 90 days', () => store.overview('default', whole));
startedAt = performance.now();
const { requests } = await store.removeOld({ log: 45, payloads: 14, rollups: 730 });
say(`${requests} days dropped in ${(performance.now() - startedAt).toFixed(0)} ms`);
await pool.end();
await store.close();
await server.end();
rmSync(folder, { recursive: true, force: true });
