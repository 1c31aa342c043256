import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Clock } from '../../core/clock.ts';
import { systemClock } from '../../core/clock.ts';
import { MizanError } from '../../core/errors.ts';
import type { JobRun, NamedJob } from '../../core/jobs.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { Driver, JobContext, JobEvents, JobType } from '../contract.ts';
import { Engine } from '../engine.ts';
import { jobOf } from '../job.suite.ts';
import { newRunId } from '../run-id.ts';
import type { OpenJobs } from '../scheduler.suite.ts';

/** Makes a driver of an engine. */
export type MakeDriver = (engine: Engine, given: { readonly clock: Clock; readonly graceMs: number }) => Driver;

/** What a run of a test does. */
export type Work = (context: JobContext) => Promise<unknown>;

/** The clock of this machine, which can be put forward. */
export class ShiftedClock implements Clock {
  aheadMs = 0;
  now(): number {
    return systemClock.now() + this.aheadMs;
  }
  monotonic(): number {
    return systemClock.monotonic() + this.aheadMs;
  }
}

let names = 0;

/** Everything that schedulers of one test have to do with each other. */
export class Crew {
  readonly type = `type-${++names}`;
  /** What was carried out, and how often. */
  readonly effects = new Map<string, number>();
  readonly heard: string[] = [];
  readonly clock = new ShiftedClock();
  readonly #waiting = new Set<() => void>();

  constructor() {
    onTestFinished(() => this.#waiting.clear());
  }

  /** A scheduler as a process of its own would have it, which is not started yet. */
  driver(store: OpenJobs, make: MakeDriver, work: Work = async () => 'done', graceMs = 0): Driver {
    const told = (event: string): void => {
      this.heard.push(event);
      for (const wake of this.#waiting) wake();
    };
    const events: JobEvents = {
      started: () => told('started'),
      ended: (_, { status }) => told(status),
      skipped: () => told('skipped'),
      missed: () => told('missed'),
      unreadable: () => told('unreadable'),
      takenOver: () => told('taken over'),
      lost: () => told('lost'),
      storeFailed: () => told('store failed'),
      storeRecovered: () => told('store recovered'),
    };
    const run: Work = async (context) => {
      const effect = `${context.job.name} ${context.run.due}`;
      this.effects.set(effect, (this.effects.get(effect) ?? 0) + 1);
      return work(context);
    };
    const kind: JobType = { name: this.type, run, check: (settings) => settings };
    const { clock } = this;
    const types = new Map([[this.type, kind]]);
    const driver = make(new Engine({ store: store.jobs, types, clock, random: () => 0.5, events, mostWaiting: 100 }), {
      clock,
      graceMs,
    });
    let isStopped = false;
    const stop = driver.stop.bind(driver);
    driver.stop = async () => {
      if (!isStopped) await stop();
      isStopped = true;
    };
    onTestFinished(() => driver.stop());
    return driver;
  }

  /** A job of this crew's, each second from now on. */
  async job(store: OpenJobs, given: Partial<NamedJob> = {}): Promise<NamedJob> {
    const schedule = { kind: 'every', everyMs: 1000 } as const;
    const own = { name: `job-${++names}`, type: this.type, schedule };
    const job = jobOf({ ...own, catchUp: 'all', overlap: 'allow', ...given });
    await store.jobs.put(job, { source: 'config', by: 'test', now: this.clock.now() });
    onTestFinished(async () => void (await store.jobs.remove(job.name, 'config', this.clock.now())));
    return job;
  }

  /** Until something was told, or done, so often. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      await promise;
      this.#waiting.delete(resolve);
    }
  }

  /** Lets nothing new come, and what waits come to its end. */
  async drain(store: OpenJobs, jobs: readonly NamedJob[]): Promise<void> {
    for (const { name } of jobs) await store.jobs.pause(name, 'test', this.clock.now());
    for (;;) {
      const told = this.heard.length;
      const runs = await Promise.all(jobs.map((job) => historyOf(store, job)));
      if (runs.flat().every(({ endedAt }) => endedAt !== null)) return;
      await this.until(() => this.heard.length > told);
    }
  }

  count(event: string): number {
    return this.heard.filter((each) => each === event).length;
  }
}

export const historyOf = async (store: OpenJobs, { name }: NamedJob): Promise<JobRun[]> =>
  (await store.jobs.runs(everyTenant, { limit: 1000, jobs: [name] })).toReversed();

/** What is wrong where each due time from the first on should have a row, a good end and one effect. */
export async function faultsOf(crew: Crew, store: OpenJobs, job: NamedJob): Promise<string[]> {
  const runs = await historyOf(store, job);
  const [first] = runs.map(({ due }) => due).toSorted((a, b) => a - b);
  if (first === undefined) return ['nothing has run'];
  const dues = new Set(runs.map(({ due }) => due));
  const missing = runs.map((_, i) => first + i * 1000).filter((due) => !dues.has(due));
  return [
    ...missing.map((due) => `no run at ${due}`),
    ...runs.filter(({ status }) => status !== 'succeeded').map(({ status, due }) => `${status} at ${due}`),
    ...runs.flatMap(({ due }) => {
      const effects = crew.effects.get(`${job.name} ${due}`) ?? 0;
      return effects === 1 ? [] : [`${effects} effects at ${due}`];
    }),
  ];
}

/** What every driver promises, whatever its store. */
export function driverContract(
  name: string,
  prepare: () => Promise<{ open(): Promise<OpenJobs>; readonly make: MakeDriver }>,
): void {
  // They wait more than they do, for as long as a busy machine makes them.
  describe(`the driver ${name}`, { timeout: 60_000 }, () => {
    let one: OpenJobs;
    let other: OpenJobs;
    let make: MakeDriver;

    beforeAll(async () => {
      const place = await prepare();
      ({ make } = place);
      one = await place.open();
      other = await place.open();
    });

    afterAll(() => Promise.all([one.close(), other.close()]));

    test('runs each due time once, and soon, in one of several processes', async () => {
      const crew = new Crew();
      const lateness: number[] = [];
      const work: Work = async ({ run }) => void lateness.push(crew.clock.now() - run.due);
      const jobs = await Promise.all(Array.from({ length: 5 }, () => crew.job(one)));
      const drivers = [one, other, one].map((store) => crew.driver(store, make, work));
      for (const driver of drivers) await driver.start();
      await crew.until(() => crew.count('succeeded') >= 20);
      await crew.drain(one, jobs);
      await Promise.all(drivers.map((driver) => driver.stop()));
      for (const job of jobs) expect(await faultsOf(crew, one, job)).toEqual([]);
      expect(lateness.toSorted((a, b) => a - b)[0]).toBeLessThan(1000);
    });

    test('begins what somebody asked for', async () => {
      const crew = new Crew();
      const job = await crew.job(one, { schedule: { kind: 'at', at: crew.clock.now() - 1 } });
      await crew.driver(other, make).start();
      const now = crew.clock.now();
      const cause = { cause: 'manual', startedBy: 'me', due: now, availableAt: now } as const;
      const run = {
        id: newRunId(now),
        job: job.name,
        tenant: 'system',
        isExclusive: false,
        mayWait: 9,
        mostWaiting: 9,
        ...cause,
      };
      await one.jobs.create(run);
      await crew.until(() => crew.count('succeeded') === 1);
      expect(await historyOf(one, job)).toMatchObject([{ id: run.id, status: 'succeeded', startedBy: 'me' }]);
    });

    test('tries again what failed, and says in the end why', async () => {
      const crew = new Crew();
      const job = await crew.job(one, { schedule: { kind: 'at', at: crew.clock.now() + 200 }, retries: 1 });
      const work = async (): Promise<never> => Promise.reject(new MizanError('upstream_error', 'Nobody is there.'));
      await crew.driver(one, make, work).start();
      await crew.until(() => crew.count('failed') === 1);
      expect(crew.heard).toEqual(['started', 'retrying', 'failed']);
      expect(await historyOf(one, job)).toMatchObject([{ status: 'failed', attempts: 2, error: 'Nobody is there.' }]);
    });

    test('lets a due time wait for the one before, where the job says so', async () => {
      const crew = new Crew();
      const job = await crew.job(one, { overlap: 'queue' });
      const first = Promise.withResolvers<void>();
      let atOnce = 0;
      let most = 0;
      const work: Work = async () => {
        most = Math.max(most, ++atOnce);
        await first.promise;
        atOnce--;
      };
      const drivers = [crew.driver(one, make, work), crew.driver(other, make, work)];
      for (const driver of drivers) await driver.start();
      await crew.until(() => crew.count('skipped') >= 1);
      first.resolve();
      await crew.until(() => crew.count('succeeded') >= 2);
      await Promise.all(drivers.map((driver) => driver.stop()));
      expect(most).toBe(1);
      const runs = await historyOf(one, job);
      expect(runs.slice(0, 3).map(({ status }) => status)).toEqual(['succeeded', 'succeeded', 'skipped']);
    });

    test('takes over what a process left that died', async () => {
      const crew = new Crew();
      const now = crew.clock.now();
      const job = await crew.job(one, { schedule: { kind: 'at', at: now - 1 } });
      const cause = { cause: 'manual', startedBy: 'me', due: now, availableAt: now } as const;
      const run = {
        id: newRunId(now),
        job: job.name,
        tenant: 'system',
        isExclusive: true,
        mayWait: 9,
        mostWaiting: 9,
        ...cause,
      };
      await one.jobs.create(run);
      const [waiting] = await historyOf(one, job);
      await one.jobs.claim(waiting!, 'dead', now);
      await crew.driver(other, make).start();
      crew.clock.aheadMs = 8000;
      await crew.until(() => crew.count('succeeded') === 1);
      expect(crew.heard).toEqual(['taken over', 'succeeded']);
      expect(await historyOf(one, job)).toMatchObject([{ status: 'succeeded', attempts: 2 }]);
    });

    test('begins what waits for its time, and a retry, wherever there is room', async () => {
      const crew = new Crew();
      const at = crew.clock.now() + 300;
      const jobs = await Promise.all(
        Array.from({ length: 4 }, () =>
          crew.job(one, { schedule: { kind: 'at', at }, jitterMs: 800, retries: 2, retryMs: 600 }),
        ),
      );
      const work: Work = async ({ run }) => {
        if (run.attempts < 3) throw new MizanError('upstream_error', 'Nobody is there.');
      };
      const drivers = [crew.driver(one, make, work), crew.driver(other, make, work)];
      for (const driver of drivers) await driver.start();
      await crew.until(() => crew.count('succeeded') === 4);
      expect(crew.heard.toSorted()).toEqual([
        ...Array.from({ length: 8 }, () => 'retrying'),
        ...Array.from({ length: 4 }, () => 'started'),
        ...Array.from({ length: 4 }, () => 'succeeded'),
      ]);
      for (const job of jobs) expect(await historyOf(one, job)).toMatchObject([{ status: 'succeeded', attempts: 3 }]);
    });

    test('lets what runs finish when it stops', async () => {
      const crew = new Crew();
      const job = await crew.job(one, { schedule: { kind: 'at', at: crew.clock.now() + 200 } });
      const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
      const leaving = crew.driver(one, make, () => finished, 60_000);
      await leaving.start();
      await crew.until(() => crew.count('started') === 1);
      const stopped = leaving.stop();
      await crew.driver(other, make).start();
      finish();
      await stopped;
      expect(crew.heard).toEqual(['started', 'succeeded']);
      expect(await historyOf(one, job)).toMatchObject([{ status: 'succeeded', attempts: 1 }]);
    });

    test('hands over what doesn’t end when it stops, and begins nothing more', async () => {
      const crew = new Crew();
      const job = await crew.job(one, { schedule: { kind: 'at', at: crew.clock.now() + 200 } });
      const endless: Work = ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
      const leaving = crew.driver(one, make, endless);
      await leaving.start();
      await crew.until(() => crew.count('started') === 1);
      await leaving.stop();
      expect(await historyOf(one, job)).toMatchObject([{ status: 'waiting', attempts: 0 }]);
      await crew.driver(other, make).start();
      await crew.until(() => crew.count('succeeded') === 1);
      expect(await historyOf(one, job)).toMatchObject([{ status: 'succeeded', attempts: 1 }]);
    });
  });
}
