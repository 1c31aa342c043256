import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

// What takes too long for a test, with figures:
//   node scripts/jobs-trial.ts effects [processes]   1,000 due times, one scheduler stopped for a while and continued
//   node scripts/jobs-trial.ts kills                 kill -9 in the middle of backups
//   node scripts/jobs-trial.ts idle [jobs]           what a schedule costs while nothing is due

const bin = resolve(import.meta.dirname, '../bin/mizan.js');
const folder = mkdtempSync(join(tmpdir(), 'mizan-trial-'));
const options = ['--config', join(folder, 'mizan.yaml'), '--data', join(folder, 'data')];

interface Run {
  readonly id: string;
  readonly job: string;
  readonly status: string;
  readonly due: string;
  readonly attempts: number;
}

function furnish(config: object): void {
  writeFileSync(join(folder, 'mizan.yaml'), JSON.stringify({ server: { port: 0, metricsPort: 0 }, ...config }));
}

async function scheduler() {
  const child = spawn(process.execPath, [bin, 'scheduler', ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  await new Promise<void>((ready) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.includes('Mizan runs')) ready();
    });
  });
  return child;
}

function mizan(...args: string[]): string {
  return execFileSync(process.execPath, [bin, ...args, ...options], { encoding: 'utf8', maxBuffer: 2 ** 28 });
}

const history = (job: string): Run[] => JSON.parse(mizan('jobs', 'history', job, '--limit', '1000', '--json')) as Run[];

const off = Object.fromEntries(
  ['cache-cleanup', 'backup', 'model-health', 'retention'].map((name) => [name, { enabled: false }]),
);

/** Every run posts to a webhook, which is the effect that is counted. */
async function effects(processes: number): Promise<void> {
  const came = new Map<string, number>();
  const server = createServer((request, response) => {
    const id = String(request.headers['webhook-id']);
    came.set(id, (came.get(id) ?? 0) + 1);
    request.resume();
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const names = Array.from({ length: 10 }, (_, i) => `tick-${i}`);
  const tick = { type: 'agent', every: '1s', overlap: 'allow', agent: 'a', input: 'x', webhook: 'w', retries: 5 };
  furnish({
    providers: { sim: { kind: 'simulator' } },
    models: { m: { instances: [{ id: 'i', provider: 'sim', model: 'simulator' }] } },
    agents: { a: { model: 'm' } },
    egress: { allow: ['127.0.0.1'] },
    schedule: {
      jobs: { ...off, ...Object.fromEntries(names.map((name) => [name, tick])) },
      webhooks: { w: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` } },
    },
  });
  const children = await Promise.all(Array.from({ length: processes }, scheduler));
  await wait(10_000);
  children[0]?.kill('SIGSTOP');
  await wait(90_000);
  children[0]?.kill('SIGCONT');
  await wait(20_000);
  for (const child of children) child.kill('SIGTERM');
  await Promise.all(children.map((child) => once(child, 'exit')));
  const runs = names.flatMap(history);
  const dues = new Set(runs.map(({ job, due }) => `${job} ${due}`));
  let gaps = 0;
  for (const name of names) {
    const times = runs.filter(({ job }) => job === name).map(({ due }) => Date.parse(due) / 1000);
    const sorted = times.toSorted((a, b) => a - b);
    gaps += (sorted.at(-1) ?? 0) - (sorted[0] ?? 0) + 1 - sorted.length;
  }
  const twice = [...came.values()].filter((count) => count > 1).length;
  report({
    processes,
    due_times: dues.size,
    rows: runs.length,
    not_succeeded: runs.filter(({ status }) => status !== 'succeeded').length,
    due_times_without_a_row: gaps,
    effects: came.size,
    effects_that_came_twice: twice,
    taken_over: runs.filter(({ attempts }) => attempts > 1).length,
  });
  server.close();
}

/** Twenty schedulers, one after the other, each killed while it makes a backup. */
async function kills(): Promise<void> {
  furnish({ schedule: { jobs: { ...off, backup: { every: '5s', keep: 100, retries: 20 } } } });
  for (let i = 0; i < 20; i++) {
    const child = await scheduler();
    await wait(3000 + (i % 5) * 700);
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  const last = await scheduler();
  await wait(20_000);
  last.kill('SIGTERM');
  await once(last, 'exit');
  const runs = history('backup');
  const listed = JSON.parse(mizan('backup', 'list', '--json')) as { name: string }[];
  let bad = 0;
  for (const { name } of listed.slice(0, 10)) {
    try {
      mizan('backup', 'verify', name);
    } catch {
      bad++;
    }
  }
  report({
    killed: 20,
    rows: runs.length,
    due_times: new Set(runs.map(({ due }) => due)).size,
    not_succeeded: runs.filter(({ status }) => status !== 'succeeded').map(({ status }) => status),
    taken_over: runs.filter(({ attempts }) => attempts > 1).length,
    backups: listed.length,
    verified: Math.min(10, listed.length),
    bad,
  });
}

/** Processor time of a scheduler with many jobs that are never due, over a minute. */
async function idle(count: number): Promise<void> {
  const jobs = Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`j-${i}`, { type: 'cache-cleanup', cron: `${i % 60} 3 1 1 *` }]),
  );
  furnish({ schedule: { jobs: { ...off, ...jobs } } });
  const child = await scheduler();
  await wait(10_000);
  const ticks = (): number => {
    const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = ticks();
  await wait(120_000);
  const seconds = (ticks() - before) / 100;
  child.kill('SIGTERM');
  await once(child, 'exit');
  report({ jobs: count, seconds: 120, cpu_seconds: seconds, share_of_a_core: seconds / 120 });
}

function report(figures: object): void {
  process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`);
}

const [what, number] = process.argv.slice(2);
try {
  if (what === 'effects') await effects(Number(number ?? 2));
  else if (what === 'kills') await kills();
  else if (what === 'idle') await idle(Number(number ?? 10_000));
  else process.stderr.write('node scripts/jobs-trial.ts effects [processes] | kills | idle [jobs]\n');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
