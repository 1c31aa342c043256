/**
 * What a backup is worth: runs that are killed at random moments leave the last good one listed and nothing else, every
 * flipped byte is found, and an empty machine is as the old one was after one command.
 *
 *   node bench/store/backups.ts [--rows 100000] [--kills 20] [--flips 200]
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { MasterKeys, noMasterKeySettings } from '../../src/security/master-keys.ts';
import { backupEngine } from '../../src/store/backup/engines/index.ts';
import { inspectBackup } from '../../src/store/backup/verify.ts';
import { openStore } from '../../src/store/index.ts';
import { fillLog } from './fill.ts';

const text = { type: 'string' } as const;
const { values } = parseArgs({ options: { rows: text, kills: text, flips: text } });
const rows = Number(values.rows ?? 100_000);
const kills = Number(values.kills ?? 20);
const flips = Number(values.flips ?? 200);

const bin = join(import.meta.dirname, '../../bin/mizan.js');
const [old, empty] = [mkdtempSync(join(tmpdir(), 'mizan-backups-')), mkdtempSync(join(tmpdir(), 'mizan-empty-'))];
const data = join(old, 'data');
const say = (line: string): void => void process.stdout.write(`${line}\n`);

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly ms: number;
}

function begin(args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}) {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [bin, ...args], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    stdout += more;
  });
  const ended = once(child, 'close').then(([code]): Run => ({
    code: code as number | null,
    stdout,
    ms: performance.now() - startedAt,
  }));
  return { child, ended };
}

const listed = async (): Promise<string[]> => {
  const { stdout } = await begin(['backup', 'list', '--json'], old).ended;
  return (JSON.parse(stdout) as { readonly name: string }[]).map(({ name }) => name);
};

await (await openStore({ folder: data, url: null })).close();
fillLog(join(data, 'mizan.db'), rows, 90);
say(`${rows} rows, ${(statSync(join(data, 'mizan.db')).size / 2 ** 20).toFixed(0)} MiB`);
const made = await begin(['backup', 'create'], old).ended;
const file = made.stdout.trim();
say(`backup made in ${made.ms.toFixed(0)} ms, ${(statSync(file).size / 2 ** 20).toFixed(1)} MiB`);
const good = await listed();

let faults = made.code === 0 ? 0 : 1;
let cut = 0;
let runs = 0;
for (; cut < kills; runs++) {
  const { child, ended } = begin(['backup', 'create'], old);
  await wait(Math.random() * made.ms);
  child.kill('SIGKILL');
  const { code } = await ended;
  if (code === null) cut++;
  const names = await listed();
  for (const name of names.filter((each) => !good.includes(each))) {
    // It had its name before the kill came: then it is a good one, too.
    if ((await begin(['backup', 'verify', name], old).ended).code === 0) good.unshift(name);
  }
  if (names.length === 0 || names.some((name) => !good.includes(name)) || !names.includes(good[0] ?? '')) faults++;
}
const verified = await begin(['backup', 'verify', good[0] ?? ''], old).ended;
if (verified.code !== 0) faults++;
const after = await begin(['backup', 'create'], old).ended;
const left = readdirSync(join(data, 'backups')).filter((name) => !name.endsWith('.backup'));
say(
  `${runs} runs, ${cut} killed before their end: the last good one was listed each time and verifies, faults: ${faults}; ` +
    `the next run ends with ${after.code} and leaves ${left.length} files that are no backups`,
);

// The first one may be gone by the rule.
const newestFile = join(data, 'backups', (await listed())[0] ?? '');
const bytes = readFileSync(newestFile);
const flipped = join(old, 'flipped.backup');
copyFileSync(newestFile, flipped);
const masterKeys = new MasterKeys(noMasterKeySettings, data);
const reading = { masterKeys, engine: backupEngine(data, null), onProgress() {} };
let found = 0;
for (let i = 0; i < flips; i++) {
  const at = randomInt(bytes.length);
  const changed = Buffer.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ (1 << randomInt(8));
  writeFileSync(flipped, changed);
  const isFound = await inspectBackup(flipped, reading).then(
    () => false,
    () => true,
  );
  if (isFound) found++;
}
say(`${found} of ${flips} flipped bits found`);

const key = readFileSync(join(data, 'master.key'), 'utf8').trim();
const restored = await begin(['backup', 'restore', newestFile], empty, { MIZAN_MASTER_KEY: key }).ended;
const newest = async (cwd: string): Promise<string> =>
  (await begin(['requests', '--limit', '1000', '--json'], cwd, { MIZAN_MASTER_KEY: key }).ended).stdout;
const isSame = (await newest(old)) === (await newest(empty));
say(
  `restored on an empty machine in ${restored.ms.toFixed(0)} ms; its newest 1000 rows are ${isSame ? 'the same' : 'OTHERS'}`,
);
rmSync(old, { recursive: true });
rmSync(empty, { recursive: true });
process.exitCode = faults === 0 && found === flips && restored.code === 0 && isSame ? 0 : 1;
