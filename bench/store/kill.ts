/**
 * `kill -9` at random moments under streaming requests: every request whose answer came as a whole is in the log, once.
 *
 *   node bench/store/kill.ts [--rounds 50] [--streams 500]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { rounds: { type: 'string' }, streams: { type: 'string' } } });
const rounds = Number(values.rounds ?? 50);
const streams = Number(values.streams ?? 500);

const bin = join(import.meta.dirname, '../../bin/mizan.js');
const folder = mkdtempSync(join(tmpdir(), 'mizan-kill-'));
const completed: string[] = [];

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

for (let round = 0; round < rounds; round++) {
  const mizan = spawn(process.execPath, [bin, 'start', '--data', folder, '--port', '0', '--metrics-port', '0'], {
    env: { PATH: process.env['PATH'] ?? '', LOG_LEVEL: 'error' },
    cwd: folder,
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const output = { said: '' };
  mizan.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.said += text;
  });
  while (!/Bearer (\S+)"/.test(output.said)) await wait(20);
  const [, base = ''] = /listens on (\S+),/.exec(output.said) ?? [];
  const [, token = ''] = /Bearer (\S+)"/.exec(output.said) ?? [];
  const client = async (): Promise<void> => {
    while (await stream(base, token)) continue;
  };
  const clients = Array.from({ length: streams }, client);
  await wait(200 + Math.random() * 1300);
  mizan.kill('SIGKILL');
  await Promise.all(clients);
}

const database = new DatabaseSync(join(folder, 'mizan.db'));
const counts = new Map(
  database
    .prepare('SELECT id, count(*) AS n FROM requests GROUP BY id')
    .all()
    .map(({ id, n }) => [String(id), Number(n)]),
);
const sound = database.prepare('PRAGMA integrity_check').get()?.['integrity_check'];
database.close();
rmSync(folder, { recursive: true, force: true });
const lost = completed.filter((id) => !counts.has(id)).length;
const doubled = [...counts.values()].filter((n) => n !== 1).length;
process.stdout.write(
  `${rounds} kills, ${completed.length} complete answers, ${lost} lost, ${doubled} doubled, integrity_check: ${String(sound)}\n`,
);
process.exitCode = lost + doubled === 0 && completed.length > 0 ? 0 : 1;
