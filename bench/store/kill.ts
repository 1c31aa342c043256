/**
 * `kill -9` at random moments under streaming requests: every request whose answer came as a whole is in the log, once.
 * With PostgreSQL it is there once a last start has sent what was left behind.
 *
 *   node bench/store/kill.ts [--rounds 50] [--streams 500] [--postgres]
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Client } from 'pg';
import { ownPostgres } from '../../test/support/postgres.ts';

const { values } = parseArgs({
  options: { rounds: { type: 'string' }, streams: { type: 'string' }, postgres: { type: 'boolean' } },
});
const rounds = Number(values.rounds ?? 50);
const streams = Number(values.streams ?? 500);

const bin = join(import.meta.dirname, '../../bin/mizan.js');
const folder = mkdtempSync(join(tmpdir(), 'mizan-kill-'));
const completed: string[] = [];
const server = values.postgres === true ? await ownPostgres() : null;
const url = await server?.newDatabase();

async function stream(base: string, token: string): Promise<boolean> {
  try {
    const answer = await fetch(`${base}/ai-process`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ input: 'Say hello', stream: true }),
    });
    const text = await answer.text();
    if (!text.includes('event: done')) return false;
    completed.push(answer.headers.get('x-request-id') ?? '');
    return true;
  } catch {
    return false;
  }
}

interface Started {
  readonly mizan: ChildProcess;
  readonly base: string;
  readonly metrics: string;
  readonly token: string;
}

async function start(): Promise<Started> {
  const database = url === undefined ? {} : { DATABASE_URL: url };
  const mizan = spawn(process.execPath, [bin, 'start', '--data', folder, '--port', '0', '--metrics-port', '0'], {
    env: { PATH: process.env['PATH'] ?? '', LOG_LEVEL: 'error', ...database },
    cwd: folder,
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const output = { said: '' };
  mizan.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.said += text;
  });
  while (!/Bearer (\S+)"/.test(output.said)) await wait(20);
  const [, base = '', metrics = ''] = /listens on (\S+), with metrics on (\S+)/.exec(output.said) ?? [];
  const [, token = ''] = /Bearer (\S+)"/.exec(output.said) ?? [];
  return { mizan, base, metrics, token };
}

for (let round = 0; round < rounds; round++) {
  const { mizan, base, token } = await start();
  const before = completed.length;
  const client = async (): Promise<void> => {
    while (await stream(base, token)) continue;
  };
  const clients = Array.from({ length: streams }, client);
  while (completed.length === before) await wait(5);
  await wait(Math.random() * 1500);
  mizan.kill('SIGKILL');
  await Promise.all(clients);
}

/** How often each request is in the log, and what the database says of itself. */
async function inLog(): Promise<{ readonly counts: ReadonlyMap<string, number>; readonly check: string }> {
  const query = 'SELECT id, count(*) AS n FROM requests GROUP BY id';
  if (url === undefined) {
    const database = new DatabaseSync(join(folder, 'mizan.db'));
    const rows = database.prepare(query).all();
    const check = String(database.prepare('PRAGMA integrity_check').get()?.['integrity_check']);
    database.close();
    return { counts: new Map(rows.map(({ id, n }) => [String(id), Number(n)])), check: `integrity_check: ${check}` };
  }
  const { mizan, metrics } = await start();
  const pending = async (): Promise<string> =>
    /^mizan_rows_pending \d+/m.exec(await (await fetch(metrics)).text())?.[0] ?? '';
  const left = await pending();
  while ((await pending()) !== 'mizan_rows_pending 0') await wait(100);
  mizan.kill('SIGTERM');
  await new Promise((resolve) => mizan.once('exit', resolve));
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ readonly id: string; readonly n: string }>(query);
  await client.end();
  await server?.end();
  return { counts: new Map(rows.map(({ id, n }) => [id, Number(n)])), check: `at the last start: ${left}` };
}

const { counts, check } = await inLog();
rmSync(folder, { recursive: true, force: true });
const lost = completed.filter((id) => !counts.has(id)).length;
const doubled = [...counts.values()].filter((n) => n !== 1).length;
process.stdout.write(
  `${rounds} kills, ${completed.length} complete answers, ${lost} lost, ${doubled} doubled, ${check}\n`,
);
process.exitCode = lost + doubled === 0 && completed.length > 0 ? 0 : 1;
