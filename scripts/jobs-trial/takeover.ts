import { setTimeout as wait } from 'node:timers/promises';
import type { Scheduler, TrialOptions } from './stage.ts';
import { off, Stage } from './stage.ts';

/** How long is waited for what a killed scheduler left, in ms. */
const patienceMs = 40_000;

/** Runs that take long; the scheduler that has some is killed, and another one started in its place. */
export async function takeover({ services, processes, kills: count }: TrialOptions): Promise<object> {
  const long = { type: 'agent', every: '5s', agent: 'a', input: 'x', overlap: 'allow', retries: 20 };
  const stage = new Stage({
    ...services,
    providers: { sim: { kind: 'simulator', latencyMs: 4500 } },
    models: { m: { instances: [{ id: 'i', provider: 'sim', model: 'simulator' }] } },
    agents: { a: { model: 'm' } },
    schedule: { jobs: { ...off, one: long, two: long, three: long, four: long } },
  });
  const all: Scheduler[] = [];
  try {
    while (all.length < processes) all.push(await stage.scheduler());
    const seconds: number[] = [];
    const others: object[] = [];
    let left = 0;
    for (let i = 0; i < count; i++) {
      const victim = all.shift();
      if (victim === undefined) break;
      const going = await runsOf(victim);
      // Its beats are any time old.
      await wait((i * 700) % 2000);
      const ended = victim.end('SIGKILL');
      const killedAt = Date.now();
      await ended;
      all.push(await stage.scheduler());
      const open = new Set([...going].filter((run) => isOpen(victim, run)));
      left += open.size;
      for (const end = Date.now() + patienceMs; Date.now() < end && open.size > 0; await wait(50)) {
        for (const { event, run, time } of all.flatMap(({ log }) => log)) {
          if (event !== 'job_taken_over' || run === undefined || time < killedAt || !open.delete(run)) continue;
          seconds.push((time - killedAt) / 1000);
        }
      }
      // One may have ended a moment before it could say so.
      for (const { id, status, attempts, endedAt } of await stage.history(['one', 'two', 'three', 'four'])) {
        if (open.has(id)) others.push({ status, attempts, ended_s_after: endedAt && (endedAt - killedAt) / 1000 });
      }
    }
    await Promise.all(all.map((each) => each.end('SIGTERM')));
    const sorted = seconds.toSorted((a, b) => a - b);
    return {
      processes,
      driver: services.redis === undefined ? 'local' : 'bullmq',
      killed: count,
      runs_left: left,
      taken_over: sorted.length,
      after_s: { least: sorted[0], median: sorted[Math.floor(sorted.length / 2)], most: sorted.at(-1) },
      others,
      in_more_than_10_s: sorted.filter((each) => each > 10).length,
    };
  } finally {
    stage.remove();
  }
}

/** Waits until one goes on that has begun just now. @returns All that go on. */
async function runsOf(scheduler: Scheduler): Promise<Set<string>> {
  await scheduler.heard('job_started');
  await wait(100);
  const going = new Set<string>();
  for (const { event, run } of scheduler.log) {
    if (run === undefined) continue;
    if (event === 'job_started' || event === 'job_taken_over') going.add(run);
    else going.delete(run);
  }
  return going;
}

/** Whether it didn't say that the run had ended before it died. */
function isOpen({ log }: Scheduler, run: string): boolean {
  return !log.some((spoken) => spoken.run === run && ['job_succeeded', 'job_failed'].includes(spoken.event));
}
