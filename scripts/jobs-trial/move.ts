import { setTimeout as wait } from 'node:timers/promises';
import type { JobRun } from '../../src/core/jobs.ts';
import { countsOf, receiver, startsOf, ticks } from './effects.ts';
import type { Scheduler, StageConfig, TrialOptions } from './stage.ts';
import { Stage, until } from './stage.ts';

/** How long each driver has the schedule, in ms. */
const eachMs = 20_000;

/** How long posts are not taken that are not, in ms. */
const refusedMs = 4000;

/** There and back again: a schedule that runs, with runs that go on, wait, and are to be tried again, at each change. */
export async function move({ services, processes }: TrialOptions): Promise<object> {
  if (services.redis === undefined) throw new Error('This trial needs --redis.');
  // A third of the runs can't post for longer than a try may take: these are tried again later, by whoever is there.
  const first = new Map<string, number>();
  const webhook = await receiver((id) => {
    const since = first.get(id) ?? Date.now();
    first.set(id, since);
    return id.charCodeAt(id.length - 1) % 3 === 0 && Date.now() - since < refusedMs;
  });
  const common = { latencyMs: 900, timeout: '3s', retryAfter: '5s', webhook: webhook.url };
  const beside = ticks({ ...common, count: 6, overlap: 'allow' });
  const config = (driver: string): StageConfig => ({
    ...services,
    ...beside.config,
    schedule: { ...beside.config.schedule, driver },
  });
  const stage = new Stage(config('local'));
  const all: Scheduler[] = [];
  const changes: object[] = [];
  try {
    for (const driver of ['local', 'bullmq', 'local']) {
      stage.configure(config(driver));
      const some: Scheduler[] = [];
      while (some.length < processes) some.push(await stage.scheduler());
      await wait(eachMs);
      await Promise.all(some.map((each) => each.end('SIGTERM')));
      const open = (await stage.history(beside.names)).filter(({ endedAt }) => endedAt === null);
      changes.push({ driver, ...startsOf(some), left_waiting: open.length, of_them_retries: retries(open) });
      all.push(...some);
    }
    const last = Date.now();
    stage.configure(config('bullmq'));
    const heir = await stage.scheduler();
    const dueBefore = async (): Promise<JobRun[]> =>
      (await stage.history(beside.names)).filter(({ due }) => due <= last);
    await until(async () => (await dueBefore()).every(({ endedAt }) => endedAt !== null), 60_000);
    await heir.end('SIGTERM');
    const runs = await dueBefore();
    const ids = new Set(runs.map(({ id }) => id));
    const taken = [...webhook.taken].filter(([id]) => ids.has(id));
    return {
      processes,
      ...countsOf(beside.names, runs),
      tried_again: runs.filter(({ attempts }) => attempts > 1).length,
      effects: taken.length,
      effects_that_came_twice: taken.filter(([, count]) => count > 1).length,
      changes,
    };
  } finally {
    webhook.close();
    stage.remove();
  }
}

const retries = (runs: readonly JobRun[]): number => runs.filter(({ attempts }) => attempts > 0).length;
