/**
 * What the store's own work costs those who ask meanwhile: p99 of answers at a steady rate with and without reads in a
 * loop, retention and a backup (by the command, and by Mizan itself), in rounds by turns, so that both see the same
 * neighbours; and how long a page and an overview of a large log take.
 *
 * Beside it, what is no work of the store's, so that one can tell what the machine itself costs: `busy` and `idle` are a
 * process that does nothing but count, at the usual and at the lowest priority; `asking` asks as the reads do, for what is
 * in memory.
 *
 *   node bench/store/p99.ts [--rows 10000000] [--rounds 20] [--seconds 5] [--rate 150]
 *     [--only nothing,busy,idle,asking,reads,retention,backup,scheduled] [--folder DIR]
 *     [--whole] [--skip 0]
 *
 * With `--folder` the data folder is one that make-log.ts made, with as many rows as it has; it stays, and some of its
 * oldest rows go. With `--whole` there are as many rounds of `backup` as one takes to its end; with
 * `--skip` so many seconds of it, in which nobody asks for anything, come before the first. Old rows go at the pace that Mizan itself would remove them at, all but those of the last day.
 */
import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { request } from 'undici';
import { openStore } from '../../src/store/index.ts';
import { fillLog } from './fill.ts';
import type { Work } from './rounds.ts';
import { ascending, Asked, at, median, say } from './rounds.ts';

const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    rate: { type: 'string' },
    only: { type: 'string' },
    folder: { type: 'string' },
    whole: { type: 'boolean' },
    skip: { type: 'string' },
  },
});
const load = {
  rounds: Number(values.rounds ?? 20),
  seconds: Number(values.seconds ?? 5),
  rate: Number(values.rate ?? 150),
};
const only = new Set((values.only ?? 'nothing,busy,idle,asking,reads,retention,backup,scheduled').split(','));
const days = 90;

const bin = join(import.meta.dirname, '../../bin/mizan.js');
const folder = mkdtempSync(join(tmpdir(), 'mizan-p99-'));
const data = values.folder ?? join(folder, 'data');
const file = join(data, 'mizan.db');
const config = join(folder, 'mizan.yaml');
const size = (): string => `${(statSync(file).size / 2 ** 20).toFixed(0)} MiB`;
const env = { PATH: process.env['PATH'] ?? '', LOG_LEVEL: 'error' };
const common = ['--config', config, '--data', data];

// Nothing of the simulator's own is to be in the figures.
writeFileSync(
  config,
  JSON.stringify({
    server: { port: 0, metricsPort: 0 },
    retention: { log: 3650 },
    backup: { dir: join(folder, 'backups'), keep: 1 },
  }),
);
await (await openStore({ folder: data, url: null })).close();
let startedAt = performance.now();
// A folder that was made before is taken as it is.
const { start, filled: rows } = fillLog(
  file,
  values.folder === undefined ? Number(values.rows ?? 10_000_000) : 0,
  days,
);
say(`${rows} rows in ${((performance.now() - startedAt) / 1000).toFixed(0)} s, ${size()}`);

const mizan = await Asked.start(common, env, load);
const { base, token, dispatcher } = mizan;

async function compare(name: string, what: string, work: Work): Promise<void> {
  if (only.has(name)) await mizan.compare(what, work);
}

startedAt = performance.now();
await mizan.ask();
// A day sooner, as sums of a day whose first rows are gone begin before what is there.
const overview = `/api/overview?from=${start - 86_400_000}&to=${Date.now()}`;
const total = async (): Promise<number> =>
  ((await mizan.get(overview)).json as { total?: { requests: number } }).total?.requests ?? 0;
while ((await total()) < rows) await wait(1000);
say(`all sums made in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
for (const [what, path] of [
  ['first page', '/api/requests?limit=50'],
  ['overview of 90 days', overview],
] as const) {
  await mizan.get(path);
  const took: number[] = [];
  for (let i = 0; i < 20; i++) took.push((await mizan.get(path)).ms);
  say(`${what}: ${median(took).toFixed(1)} ms in the middle, ${Math.max(...took).toFixed(1)} ms at most of 20`);
}

const nothing = { go() {}, async stop() {} };
await compare('nothing', 'nothing at all', nothing);

/** A process that does nothing but count. It is stopped and not ended in between, as the backup below. */
function counting(priority: number): Work & { end(): void } {
  const child = spawn(process.execPath, ['-e', 'for (;;);'], { env, stdio: 'ignore' });
  child.kill('SIGSTOP');
  if (child.pid !== undefined) setPriority(child.pid, priority);
  return {
    go: () => void child.kill('SIGCONT'),
    stop: async () => void child.kill('SIGSTOP'),
    end: () => child.kill('SIGKILL'),
  };
}

for (const [name, priority] of [
  ['busy', 0],
  ['idle', 19],
] as const) {
  const work = counting(priority);
  await compare(name, `a process that only counts, at priority ${priority}`, work);
  work.end();
}

/** Paths that another process asks for in a loop, all at once and then again. */
async function inALoop(name: string, what: string, paths: readonly string[]): Promise<void> {
  if (!only.has(name)) return;
  const child = spawn(process.execPath, [join(import.meta.dirname, 'asking.child.ts'), ...paths], {
    env: { ...env, BASE: base, TOKEN: token },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const took = paths.map((): number[] => []);
  await compare(name, what, {
    go: () => void child.stdin.write('go\n'),
    async stop() {
      child.stdin.write('stop\n');
      const { value } = await lines.next();
      for (const [i, times] of (JSON.parse(String(value)) as number[][]).entries()) took[i]?.push(...times);
    },
  });
  child.stdin.end();
  await once(child, 'exit');
  for (const [i, path] of paths.entries()) {
    const sorted = ascending(took[i] ?? []);
    const figures = [0.5, 0.99, 1].map((share) => at(sorted, share).toFixed(1)).join(', ');
    say(`  ${path.split('?')[0]} ${sorted.length} times: p50, p99 and most ${figures} ms`);
  }
}

await inALoop('asking', 'two things in memory, asked for in a loop', ['/v1/models', '/api/instances']);
await inALoop('reads', 'a page and the overview of 90 days, asked for in a loop', ['/api/requests?limit=50', overview]);

let [removed, removing, removingSince] = [0, 0, 0];
if (only.has('retention')) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'retention.child.ts'), file], {
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const before = size();
  say(`ready: ${String((await lines.next()).value)}`);
  await compare('retention', 'old rows being removed', {
    go() {
      removingSince = performance.now();
      child.stdin.write('go\n');
    },
    async stop() {
      child.stdin.write('stop\n');
      removed += Number((await lines.next()).value);
      removing += performance.now() - removingSince;
    },
  });
  child.stdin.end();
  await once(child, 'exit');
  const perSecond = ((removed / removing) * 1000).toFixed(0);
  say(`  ${removed} rows removed, ${perSecond} rows/s; the file went from ${before} to ${size()}`);
}

const running: { backup: ChildProcess | null } = { backup: null };
const isRunning = (): boolean => running.backup?.exitCode === null && running.backup.signalCode === null;
let [made, makingMs, makingSince] = [0, 0, 0];
function makeBackup(): void {
  made++;
  const to = ['--to', join(folder, 'backups')];
  running.backup = spawn(process.execPath, [bin, 'backup', 'create', ...to, ...common], { env, stdio: 'ignore' });
}
const copied = statSync(file).size;
/** What a backup is at, by the files that it makes. */
function stepOf(): string {
  const bytes = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const drafts = existsSync(join(folder, 'backups')) ? readdirSync(join(folder, 'backups')) : [];
  const restored = bytes(join(data, 'backup-work/scratch.db'));
  if (restored > 0) return restored < copied ? 'restoring' : 'comparing';
  if (drafts.some((name) => name.endsWith('.partial'))) return 'writing';
  return bytes(join(data, 'backup-work/copy.db')) < copied ? 'copying' : 'counting';
}
const skipMs = Number(values.skip ?? 0) * 1000;
if (only.has('backup') && skipMs > 0) {
  makeBackup();
  await wait(skipMs);
  running.backup?.kill('SIGSTOP');
}
await compare('backup', `a backup of ${size()}`, {
  times: 2,
  isDone: () => values.whole === true && made > 0 && !isRunning(),
  step: stepOf,
  go() {
    makingSince = performance.now();
    if (isRunning()) running.backup?.kill('SIGCONT');
    else makeBackup();
  },
  async stop() {
    running.backup?.kill('SIGSTOP');
    makingMs += performance.now() - makingSince;
  },
});
if (values.whole === true)
  say(`  it took ${(makingMs / 1000).toFixed(0)} s, to the round, and ended with ${running.backup?.exitCode}`);
running.backup?.kill('SIGKILL');

const operator = `Bearer ${execFileSync(process.execPath, [bin, 'token', 'create', '--role', 'admin', '--any-tenant', ...common], { env, encoding: 'utf8' }).trim()}`;
const here = { isOver: true };
const durations: number[] = [];
await compare('scheduled', `a backup of ${size()} by Mizan itself`, {
  go() {
    here.isOver = false;
    const begunAt = performance.now();
    void (async () => {
      await request(`${base}/api/backups`, { dispatcher, method: 'POST', headers: { authorization: operator } });
      for (let state = 'running'; state === 'running';) {
        await wait(500);
        const { run } = (await mizan.get('/api/backups', operator)).json as {
          run: { state: string; error: string | null };
        };
        ({ state } = run);
        if (state === 'failed') throw new Error(`the backup failed: ${run.error}`);
      }
      durations.push(performance.now() - begunAt);
      here.isOver = true;
    })();
  },
  async stop() {},
  isOver: () => here.isOver,
});
say(
  `${made} backups begun by command; by Mizan itself they took ${durations.map((ms) => (ms / 1000).toFixed(0)).join(', ')} s`,
);
await mizan.end();
rmSync(folder, { recursive: true, force: true });
