/**
 * A data folder of one MiB that fills up under load and is freed again: every request is answered, and the database is
 * sound. Needs root, to mount a tmpfs.
 *
 *   node bench/store/full-disk.ts
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmdirSync, statfsSync, writeFileSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const bin = join(import.meta.dirname, '../../bin/mizan.js');
const folder = mkdtempSync(join(tmpdir(), 'mizan-full-'));
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
const say = (line: string): void => void process.stdout.write(`${line}\n`);
let isSound = false;
try {
  const ballast = join(folder, 'ballast');
  writeFileSync(ballast, Buffer.alloc(300_000));
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
  while (!(await state()).includes('degraded')) await some(50);
  const { bavail, bsize } = statfsSync(folder);
  say(`full after ${asked} requests, ${bavail * bsize} bytes free: ${await state()}`);
  await some(200);
  rmSync(ballast);
  const freedAt = performance.now();
  while ((await state()).includes('degraded')) await wait(20);
  say(`well again ${(performance.now() - freedAt).toFixed(0)} ms after there was room`);
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
  execFileSync('umount', [folder]);
  rmdirSync(folder);
}
process.exitCode = isSound ? 0 : 1;
