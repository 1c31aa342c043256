/**
 * A data folder that can't be written under load, and then can again: every request is answered and in the log, and the
 * database is sound. Either a disk of one MiB fills up (a tmpfs), or the database's files are made read-only (by their
 * immutable flag, which holds for those who have them open, too). Needs root.
 *
 *   node bench/store/faulty-disk.ts [--fault full|read-only]
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { fault: { type: 'string' } } });
const isFull = values.fault !== 'read-only';

const bin = join(import.meta.dirname, '../../bin/mizan.js');
const folder = mkdtempSync(join(tmpdir(), 'mizan-full-'));
if (isFull) execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
// Not its index of the log (`-shm`), which SQLite writes as memory: a system that refuses that ends the process.
const files = (): string[] => ['', '-wal'].map((end) => join(folder, `mizan.db${end}`)).filter(existsSync);
const flag = (sign: '+' | '-'): void => void execFileSync('chattr', [`${sign}i`, ...files()]);
const say = (line: string): void => void process.stdout.write(`${line}\n`);
let isSound = false;
try {
  const ballast = join(folder, 'ballast');
  if (isFull) writeFileSync(ballast, Buffer.alloc(300_000));
  const env = { PATH: process.env['PATH'] ?? '', LOG_LEVEL: 'error' };
  const mizan = spawn(process.execPath, [bin, 'start', '--data', folder, '--port', '0', '--metrics-port', '0'], {
    env,
    cwd: tmpdir(),
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const output = { said: '' };
  mizan.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.said += text;
  });
  while (!/Bearer (\S+)"/.test(output.said)) await wait(50);
  mizan.once('exit', (code, signal) => {
    if (code !== 0) say(`Mizan ended with ${code ?? signal}:\n${output.said.slice(-2000)}`);
  });
  const [, base = ''] = /listens on (\S+),/.exec(output.said) ?? [];
  const [, token = ''] = /Bearer (\S+)"/.exec(output.said) ?? [];
  const ask = async (): Promise<number> => {
    const answer = await fetch(`${base}/ai-process`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ input: 'Say hello' }),
    });
    await answer.arrayBuffer();
    return answer.status;
  };
  const state = async (): Promise<string> => (await fetch(`${base}/readyz`)).text();
  const statuses = new Map<number, number>();
  let asked = 0;
  const some = async (count: number): Promise<void> => {
    for (const status of await Promise.all(Array.from({ length: count }, ask))) {
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      asked++;
    }
  };
  await some(50);
  if (!isFull) flag('+');
  while (!(await state()).includes('degraded')) await some(50);
  const { bavail, bsize } = statfsSync(folder);
  say(`${isFull ? 'full' : 'read-only'} after ${asked} requests, ${bavail * bsize} bytes free: ${await state()}`);
  await some(200);
  if (isFull) rmSync(ballast);
  else flag('-');
  const freedAt = performance.now();
  while ((await state()).includes('degraded')) await wait(20);
  say(`well again ${(performance.now() - freedAt).toFixed(0)} ms after it could be written`);
  await some(50);
  say(`statuses: ${JSON.stringify([...statuses])}`);
  mizan.kill('SIGTERM');
  await new Promise((resolve) => mizan.once('exit', resolve));
  const database = new DatabaseSync(join(folder, 'mizan.db'));
  const sound = database.prepare('PRAGMA integrity_check').get()?.['integrity_check'];
  const rows = Number(database.prepare('SELECT count(*) AS n FROM requests').get()?.['n']);
  database.close();
  say(`integrity_check: ${String(sound)}; ${asked} asked, ${rows} rows`);
  isSound = sound === 'ok' && rows === asked;
} finally {
  if (isFull) execFileSync('umount', [folder]);
  else flag('-');
  rmSync(folder, { recursive: true });
}
process.exitCode = isSound ? 0 : 1;
