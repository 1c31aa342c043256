/**
 * PostgreSQL stopped for a minute under load: no row is lost or doubled, memory stays flat. Needs PostgreSQL's binaries.
 *
 *   node bench/store/postgres-outage.ts [--seconds 60] [--rate 100]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Client } from 'pg';
import { ownPostgres } from '../../test/support/postgres.ts';

const { values } = parseArgs({ options: { seconds: { type: 'string' }, rate: { type: 'string' } } });
const seconds = Number(values.seconds ?? 60);
const rate = Number(values.rate ?? 100);

const bin = join(import.meta.dirname, '../../bin/mizan.js');
const folder = mkdtempSync(join(tmpdir(), 'mizan-outage-'));
const server = await ownPostgres();
const url = await server.newDatabase();
const env = { PATH: process.env['PATH'] ?? '', DATABASE_URL: url, LOG_LEVEL: 'warn' };
const mizan = spawn(process.execPath, [bin, 'start', '--data', folder, '--port', '0', '--metrics-port', '0'], {
  env,
  cwd: folder,
  stdio: ['ignore', 'inherit', 'pipe'],
});
let said = '';
mizan.stderr.setEncoding('utf8').on('data', (text: string) => {
  said += text;
});
while (!/Bearer (\S+)"/.test(said)) await wait(50);
const [, base = ''] = /listens on (\S+),/.exec(said) ?? [];
const [, metrics = ''] = /metrics on (\S+)/.exec(said) ?? [];
const [, token = ''] = /Bearer (\S+)"/.exec(said) ?? [];

const answered: string[] = [];
let failed = 0;
const loadUntil = { isOver: false };
let slowest = 0;

async function ask(): Promise<void> {
  const startedAt = performance.now();
  const answer = await fetch(`${base}/ai-process`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ input: 'Say hello' }),
  });
  const { id } = (await answer.json()) as { readonly id?: string };
  if (answer.status === 200 && id !== undefined) answered.push(id);
  else failed++;
  slowest = Math.max(slowest, performance.now() - startedAt);
}

async function load(): Promise<void> {
  const under: Promise<void>[] = [];
  for (const startedAt = performance.now(); !loadUntil.isOver;) {
    if (under.length < (rate * (performance.now() - startedAt)) / 1000) under.push(ask().catch(() => void failed++));
    else await wait(2);
  }
  await Promise.all(under);
}

const resident = (): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${mizan.pid ?? 0}/status`, 'utf8'))?.[1]) / 1024;
const pending = async (): Promise<number> =>
  Number(/^mizan_rows_pending (\d+)/m.exec(await (await fetch(metrics)).text())?.[1]);
const state = async (): Promise<string> => (await fetch(`${base}/readyz`)).text();
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const loading = load();
await wait(15_000);
const before = resident();
say(`before: ${answered.length} answers, ${before.toFixed(0)} MiB, ${await pending()} rows pending`);
await server.stop();
let highest = 0;
for (let i = 0; i < seconds; i++) {
  await wait(1000);
  highest = Math.max(highest, resident());
}
say(`away for ${seconds} s: ${await pending()} rows pending, ${highest.toFixed(0)} MiB at most, ${await state()}`);
await server.start();
const backAt = performance.now();
while ((await state()) !== '{"status":"ready"}') await wait(100);
say(`ready again after ${((performance.now() - backAt) / 1000).toFixed(1)} s`);
await wait(5000);
loadUntil.isOver = true;
await loading;
while ((await pending()) > 0) await wait(100);
say(`after: ${resident().toFixed(0)} MiB, ${await pending()} rows pending, slowest answer ${slowest.toFixed(0)} ms`);

const client = new Client({ connectionString: url });
await client.connect();
const { rows } = await client.query('SELECT id, count(*) AS n FROM requests GROUP BY id');
await client.end();
const counts = new Map((rows as { id: string; n: string }[]).map(({ id, n }) => [id, Number(n)]));
const lost = answered.filter((id) => !counts.has(id)).length;
const doubled = [...counts.values()].filter((n) => n !== 1).length;
say(`${answered.length} answered, ${failed} failed, ${lost} lost, ${doubled} doubled`);
mizan.kill('SIGTERM');
await new Promise((resolve) => mizan.once('exit', resolve));
await server.end();
rmSync(folder, { recursive: true, force: true });
process.exitCode = lost + doubled + failed === 0 ? 0 : 1;
