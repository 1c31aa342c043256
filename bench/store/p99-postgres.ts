/**
 * What dropping old days costs those who ask meanwhile, with PostgreSQL: p99 of answers at a steady rate, in rounds by
 * turns, in each of which some days of the log are dropped as Mizan does it. The log is one that big-postgres.ts made.
 *
 *   node bench/store/p99-postgres.ts --url postgres://… [--rounds 14] [--seconds 4] [--rate 150] [--days 3]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openPool } from '../../src/store/postgres/connection.ts';
import { removeOld } from '../../src/store/postgres/retention.ts';
import { Asked, median, say } from './rounds.ts';

const text = { type: 'string' } as const;
const { values } = parseArgs({ options: { url: text, rounds: text, seconds: text, rate: text, days: text } });
const { url } = values;
if (url === undefined) throw new Error('--url says which database');
const load = {
  rounds: Number(values.rounds ?? 14),
  seconds: Number(values.seconds ?? 4),
  rate: Number(values.rate ?? 150),
};
const step = Number(values.days ?? 3);

const folder = mkdtempSync(join(tmpdir(), 'mizan-p99-'));
const config = join(folder, 'mizan.yaml');
writeFileSync(
  config,
  JSON.stringify({ server: { port: 0, metricsPort: 0 }, database: { url }, retention: { log: 3650 } }),
);
const options = ['--config', config, '--data', join(folder, 'data')];
const mizan = await Asked.start(options, { PATH: process.env['PATH'] ?? '', LOG_LEVEL: 'error' }, load);
await mizan.ask();
const overview = `/api/overview?from=${Date.now() - 90 * 86_400_000}&to=${Date.now()}`;
for (const path of ['/api/requests?limit=50', overview]) {
  await mizan.get(path);
  const took: number[] = [];
  for (let i = 0; i < 20; i++) took.push((await mizan.get(path)).ms);
  say(`${path.split('?')[0]}: ${median(took).toFixed(1)} ms in the middle, ${Math.max(...took).toFixed(1)} ms at most`);
}

const pool = openPool(url, { max: 2, statementTimeoutMs: 60_000 });
const took: number[] = [];
let [kept, dropped] = [91, 0];
let dropping: Promise<void> = Promise.resolve();

async function drop(): Promise<void> {
  kept -= step;
  const since = performance.now();
  const { requests } = await removeOld(pool, { log: kept, payloads: kept, rollups: 10_000 }, Date.now());
  dropped += requests;
  took.push(performance.now() - since);
}

await mizan.compare('days being dropped', {
  go: () => void (dropping = drop()),
  stop: () => dropping,
});
say(
  `  ${dropped} days dropped, ${step} at a time in ${median(took).toFixed(0)} ms, ${Math.max(...took).toFixed(0)} at most`,
);
await pool.end();
await mizan.end();
rmSync(folder, { recursive: true, force: true });
