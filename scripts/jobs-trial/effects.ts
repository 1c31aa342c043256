import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { JobRun } from '../../src/core/jobs.ts';
import type { Scheduler, TrialOptions } from './stage.ts';
import { off, Stage, until } from './stage.ts';

/** How long one scheduler is stopped, in ms: longer than any lease. */
const stoppedMs = 90_000;

/** A schedule without trouble, and how long it is watched, in ms. */
const calm = { count: 4, latencyMs: 100, overlap: 'allow' } as const;
const calmMs = 40_000;

/** Takes what runs post, and counts it by their ids. @param isRefused Whether a post is not taken. */
export async function receiver(isRefused: (id: string) => boolean = () => false) {
  const taken = new Map<string, number>();
  const server = createServer((request, response) => {
    const id = String(request.headers['webhook-id']);
    response.statusCode = isRefused(id) ? 503 : 200;
    if (response.statusCode === 200) taken.set(id, (taken.get(id) ?? 0) + 1);
    request.resume();
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return { taken, url, close: () => server.close() };
}

/** Jobs each second: a run asks an agent that takes its time, and posts to a webhook, which is the effect that is counted. */
export function ticks({ count, latencyMs, webhook, ...job }: TickOptions) {
  const names = Array.from({ length: count }, (_, i) => `tick-${i}`);
  const common = { catchUp: 'all', retries: 5, ...job };
  const tick = { ...common, type: 'agent', every: '1s', agent: 'a', input: 'x', webhook: 'w' };
  const config = {
    providers: { sim: { kind: 'simulator', latencyMs } },
    models: { m: { instances: [{ id: 'i', provider: 'sim', model: 'simulator' }] } },
    agents: { a: { model: 'm' } },
    egress: { allow: ['127.0.0.1'] },
    schedule: {
      jobs: { ...off, ...Object.fromEntries(names.map((name) => [name, tick])) },
      webhooks: { w: { url: webhook } },
    },
  };
  return { names, config };
}

interface TickOptions {
  readonly count: number;
  readonly latencyMs: number;
  /** Its URL. */
  readonly webhook: string;
  readonly overlap: 'allow' | 'queue';
  readonly timeout?: string;
  readonly retryAfter?: string;
}

/** 1,000 due times and more; one scheduler is stopped in the middle of runs and continued, and one killed. */
export async function effects({ services, processes }: TrialOptions): Promise<object> {
  const { taken: came, url, close } = await receiver();
  const { names, config } = ticks({ count: 8, latencyMs: 900, webhook: url, overlap: 'allow' });
  const stage = new Stage({ ...services, ...config });
  try {
    const schedulers: Scheduler[] = [];
    for (let i = 0; i < processes; i++) schedulers.push(await stage.scheduler());
    const [stopped, killed] = schedulers;
    if (stopped === undefined || killed === undefined) throw new Error('It takes two schedulers at least.');
    await wait(5000);
    const stoppedAt = await signalled(stopped, 'SIGSTOP');
    await wait(stoppedMs);
    stopped.child.kill('SIGCONT');
    await wait(10_000);
    const killedAt = await signalled(killed, 'SIGKILL');
    await wait(15_000);
    const last = Date.now();
    let runs: JobRun[] = [];
    await until(async () => {
      runs = (await stage.history(names)).filter(({ due }) => due <= last);
      return runs.every(({ status }) => status === 'succeeded');
    }, 120_000);
    await Promise.all(schedulers.filter((each) => each !== killed).map((each) => each.end('SIGTERM')));
    runs = (await stage.history(names)).filter(({ due }) => due <= last);
    const ids = new Set(runs.map(({ id }) => id));
    for (const id of came.keys()) if (!ids.has(id)) came.delete(id);
    return {
      processes,
      driver: services.redis === undefined ? 'local' : 'bullmq',
      ...countsOf(names, runs),
      effects: came.size,
      effects_that_came_twice: [...came.values()].filter((count) => count > 1).length,
      taken_over_from_the_stopped: takenOver(schedulers, stoppedAt, killedAt),
      refused_commits_of_the_stopped: stopped.log.filter(({ event }) => event === 'job_lost').length,
      taken_over_from_the_killed: takenOver(schedulers, killedAt, Number.POSITIVE_INFINITY),
      ...startsOf(schedulers),
    };
  } finally {
    close();
    stage.remove();
  }
}

/** How late runs begin where nothing goes wrong. */
export async function lateness({ services, processes }: TrialOptions): Promise<object> {
  const webhook = await receiver();
  const stage = new Stage({ ...services, ...ticks({ ...calm, webhook: webhook.url }).config });
  try {
    const schedulers: Scheduler[] = [];
    while (schedulers.length < processes) schedulers.push(await stage.scheduler());
    const log = schedulers.map((each) => each.log.length);
    await wait(calmMs);
    await Promise.all(schedulers.map((each) => each.end('SIGTERM')));
    const settled = schedulers.map((each, i) => ({ ...each, log: each.log.slice(log[i]) }));
    return { processes, driver: services.redis === undefined ? 'local' : 'bullmq', ...startsOf(settled) };
  } finally {
    webhook.close();
    stage.remove();
  }
}

/** In the middle of runs: some time after one has begun. @returns When, in ms. */
async function signalled(scheduler: Scheduler, signal: NodeJS.Signals): Promise<number> {
  await scheduler.heard('job_started');
  await wait(300);
  scheduler.child.kill(signal);
  return Date.now();
}

/** How many runs, and after how many seconds. */
function takenOver(schedulers: readonly Scheduler[], from: number, to: number) {
  const times = schedulers
    .flatMap(({ log }) => log)
    .filter(({ event, time }) => event === 'job_taken_over' && time >= from && time < to)
    .map(({ time }) => (time - from) / 1000);
  return { runs: times.length, first_after_s: Math.min(...times), last_after_s: Math.max(...times) };
}

/** How runs came to be begun, and how late; those of a process that was stopped or killed, too. */
export function startsOf(schedulers: readonly Scheduler[]) {
  const starts = schedulers.flatMap(({ log }) => log).filter(({ event }) => event === 'job_started');
  const late = starts.map(({ latenessMs }) => latenessMs ?? 0).toSorted((a, b) => a - b);
  const share = (of: number): number | undefined => late[Math.ceil(of * late.length) - 1];
  return {
    begun: starts.length,
    begun_as_the_queue_brought_them: starts.filter(({ isBrought }) => isBrought === true).length,
    lateness_ms: { median: share(0.5), p99: share(0.99), most: share(1) },
    begun_more_than_1_s_late: late.filter((ms) => ms > 1000).length,
  };
}

export function countsOf(names: readonly string[], runs: readonly JobRun[]) {
  let gaps = 0;
  for (const name of names) {
    const times = runs.filter(({ job }) => job === name).map(({ due }) => due / 1000);
    const sorted = times.toSorted((a, b) => a - b);
    gaps += (sorted.at(-1) ?? 0) - (sorted[0] ?? 0) + 1 - sorted.length;
  }
  return {
    due_times: new Set(runs.map(({ job, due }) => `${job} ${due}`)).size,
    caught_up: runs.filter(({ cause }) => cause === 'catch-up').length,
    rows: runs.length,
    due_times_without_a_row: gaps,
    not_succeeded: runs.filter(({ status }) => status !== 'succeeded').length,
  };
}
