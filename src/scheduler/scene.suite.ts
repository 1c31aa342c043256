import { afterAll, beforeAll, onTestFinished } from 'vitest';
import type { ManualClock } from '../../test/support/clock.ts';
import type { JobRun, JobStore, NamedJob } from '../core/jobs.ts';
import type { Random } from '../core/random.ts';
import { everyTenant } from '../core/request-record.ts';
import type { JobContext, JobEvents, JobType } from './contract.ts';
import { Engine } from './engine.ts';
import { jobOf } from './job.suite.ts';

/** A store of jobs, opened as a process of its own would open it. */
export interface OpenJobs {
  readonly jobs: JobStore;
  close(): Promise<void>;
}

/** Where several processes have their jobs. */
export type Prepare = () => Promise<{ open(): Promise<OpenJobs> }>;

/** When all begins. */
export const start = Date.UTC(2026, 0, 1);

/** How many runs of a job may wait. */
export const mostWaiting = 20;

let names = 0;

/** One process of several on a store. */
export interface Party {
  readonly engine: Engine;
  readonly heard: string[];
  /** Everything it does in a turn, and the ends of what it began. */
  turn(): Promise<void>;
}

export type Scene = ReturnType<typeof sceneOn>;

/** Two processes' stores on one database, and what tests of schedulers need; to be called in a `describe`. */
export function sceneOn(prepare: Prepare) {
  const stores = {} as { one: OpenJobs; other: OpenJobs };

  beforeAll(async () => {
    const place = await prepare();
    stores.one = await place.open();
    stores.other = await place.open();
  });

  afterAll(() => Promise.all([stores.one.close(), stores.other.close()]));

  function party(
    work: (context: JobContext) => Promise<unknown>,
    {
      clock,
      store = stores.one,
      type,
      random = () => 0,
    }: { readonly clock: ManualClock; readonly store?: OpenJobs; readonly type: string; readonly random?: Random },
  ): Party {
    const heard: string[] = [];
    const told =
      (event: string) =>
      (run: { readonly due?: number; readonly name?: string }): void =>
        void heard.push(`${event} ${((run.due ?? 0) - start) / 1000}`);
    const events: JobEvents = {
      started: told('started'),
      ended: (each, { status }) => void heard.push(`${status} ${(each.due - start) / 1000}`),
      skipped: (_, due) => void heard.push(`skipped ${(due - start) / 1000}`),
      missed: (_, letGo) => void heard.push(`missed ${letGo}`),
      unreadable: told('unreadable'),
      takenOver: told('taken over'),
      lost: told('lost'),
      storeFailed: (error) => {
        throw error;
      },
      storeRecovered() {},
    };
    const kind: JobType = { name: type, run: work, check: (settings) => settings };
    const types = new Map([[type, kind]]);
    const engine = new Engine({ store: store.jobs, types, clock, random, events, mostWaiting });
    onTestFinished(() => engine.stop(0));
    return {
      engine,
      heard,
      async turn() {
        await engine.refresh();
        await engine.makeDue();
        await engine.sweep();
        await engine.settled();
      },
    };
  }

  /** A job of a type of its own, each second, from `start` on. */
  async function job(given: Partial<NamedJob> = {}): Promise<NamedJob> {
    const [name, type] = [`job-${++names}`, `type-${names}`];
    const made = jobOf({ name, type, schedule: { kind: 'every', everyMs: 1000 }, ...given });
    await stores.one.jobs.put(made, { source: 'config', by: 'test', now: start });
    return made;
  }

  const history = async ({ name: of }: NamedJob): Promise<JobRun[]> =>
    (await stores.one.jobs.runs(everyTenant, { limit: 1000, jobs: [of] })).toReversed();
  const ends = async (of: NamedJob): Promise<string[]> =>
    (await history(of)).map(({ status, due }) => `${status} ${(due - start) / 1000}`);

  return { stores, party, job, history, ends };
}
