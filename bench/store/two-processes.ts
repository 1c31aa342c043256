/**
 * A gateway and a scheduler on one data folder, as in compose.yaml: every answer is in the log once, PostgreSQL away for
 * a while included; the audit log of both verifies; a backup is made by the scheduler. Needs PostgreSQL's binaries for
 * `--postgres`.
 *
 *   node bench/store/two-processes.ts [--postgres] [--seconds 20]
 */
import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Client } from 'pg';
import { ownPostgres } from '../../test/support/postgres.ts';

const { values } = parseArgs({ options: { postgres: { type: 'boolean' }, seconds: { type: 'string' } } });
const seconds = Number(values.seconds ?? 20);
const bin = join(import.meta.dirname, '../../bin/mizan.js');
const folder = mkdtempSync(join(tmpdir(), 'mizan-two-'));
const server = values.postgres === true ? await ownPostgres() : null;
const url = (await server?.newDatabase()) ?? '';
const env = { PATH: process.env['PATH'] ?? '', LOG_LEVEL: 'warn', DATABASE_URL: url };
const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function started(args: readonly string[], ready: RegExp): Promise<{ child: ChildProcess; said: () => string }> {
  const child = spawn(process.execPath, [bin, ...args, '--data', folder, '--metrics-port', '0'], {
    env,
    cwd: folder,
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const output = { said: '' };
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output.said += text;
  });
  while (!ready.test(output.said)) {
    if (child.exitCode !== null) throw new Error(output.said);
    await wait(50);
  }
  return { child, said: () => output.said };
}

const command = (...args: readonly string[]): string =>
  execFileSync(process.execPath, [bin, ...args, '--data', folder], { env, cwd: folder, encoding: 'utf8' });

// Both at once, on a folder that is new: keys and tables are made by one of them.
const [gateway, scheduler] = await Promise.all([
  started(['start', '--role', 'gateway', '--port', '0'], /Bearer (\S+)"/),
  started(['scheduler'], /Mizan runs \d+ jobs/),
]);
const [, base = ''] = /listens on (\S+),/.exec(gateway.said()) ?? [];
const [, token = ''] = /Bearer (\S+)"/.exec(gateway.said()) ?? [];
const admin = command('token', 'create', '--role', 'admin').trim();
const answered: string[] = [];
let failed = 0;

async function ask(): Promise<void> {
  const answer = await fetch(`${base}/ai-process`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ input: 'Say hello' }),
  });
  const { id } = (await answer.json()) as { readonly id?: string };
  if (answer.status === 200 && id !== undefined) answered.push(id);
  else failed++;
}

const until = performance.now() + seconds * 1000;
const clients = Array.from({ length: 8 }, async () => {
  while (performance.now() < until) await ask().catch(() => void failed++);
});
let made = 0;
const keys = (async () => {
  while (performance.now() < until) {
    const answer = await fetch(`${base}/api/keys`, {
      method: 'POST',
      headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: `k${made}`, role: 'member' }),
    });
    await answer.arrayBuffer();
    if (answer.status === 201 || answer.status === 200) made++;
    await wait(200);
  }
})();
if (server !== null) {
  await wait((seconds * 1000) / 4);
  await server.stop();
  await wait((seconds * 1000) / 4);
  await server.start();
}
await Promise.all([...clients, keys]);
const ran = command('jobs', 'run', 'backup');
say(`jobs run backup: ${ran.trim().split('\n').at(-1) ?? ''}`);
while (!readdirSync(folder).includes('backups') || command('backup', 'list', '--json').trim() === '[]') await wait(500);
say(`backups: ${command('backup', 'list').trim().split('\n').length - 1}; ${command('audit', 'verify').trim()}`);
for (const { child } of [gateway, scheduler]) {
  child.kill('SIGTERM');
  if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve));
}
// Sends what is left.
command('requests', '--limit', '1');

async function ids(): Promise<string[]> {
  if (server === null) {
    const database = new DatabaseSync(join(folder, 'mizan.db'));
    const rows = database.prepare('SELECT id FROM requests').all();
    database.close();
    return rows.map(({ id }) => String(id));
  }
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ readonly id: string }>('SELECT id FROM requests');
  await client.end();
  return rows.map(({ id }) => id);
}

const found = await ids();
const once = new Set(found);
const lost = answered.filter((id) => !once.has(id)).length;
const audited = command('audit', 'export').match(/"key\.create"/g)?.length ?? 0;
say(
  `${answered.length} answered, ${failed} failed, ${lost} lost, ${found.length - once.size} doubled; ` +
    `${made} keys made, ${audited} in the audit log; ${command('keys', 'list', '--json').match(/"id"/g)?.length ?? 0} listed`,
);
say(
  `said: ${[gateway, scheduler].map(({ said }) => said().match(/"level":[5-6]0.*/g)?.length ?? 0).join(' and ')} errors`,
);
for (const { said } of [gateway, scheduler]) for (const line of new Set(said().match(/"event":"[^"]+"/g))) say(line);
await server?.end();
rmSync(folder, { recursive: true, force: true });
process.exitCode = lost + failed + found.length - once.size === 0 && audited === made ? 0 : 1;
