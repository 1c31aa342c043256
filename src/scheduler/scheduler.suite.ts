import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { JobRun, JobStore, NamedJob } from '../core/jobs.ts';
import { everyTenant } from '../core/request-record.ts';
import type { JobContext, JobEvents, JobType } from './contract.ts';
import { Engine } from './engine.ts';
import { JobsService } from './service.ts';

/** A store of jobs, opened as a process of its own would open it. */
export interface OpenJobs {
  readonly jobs: JobStore;
  close(): Promise<void>;
}

const start = Date.UTC(2026, 0, 1);
let names = 0;

/** One process of several on a store. */
interface Party {
  readonly engine: Engine;
  readonly heard: string[];
  /** Everything it does in a turn, and the ends of what it began. */
  turn(): Promise<void>;
}

/** What every scheduler promises, whatever the engine of its store. */
export function schedulerContract(name: string, prepare: () => Promise<{ open(): Promise<OpenJobs> }>): void {
  describe(`schedulers on ${name}`, () => {
    let place: { open(): Promise<OpenJobs> };
    let one: OpenJobs;
    let other: OpenJobs;

    beforeAll(async () => {
      place = await prepare();
      one = await place.open();
      other = await place.open();
    });

    afterAll(() => Promise.all([one.close(), other.close()]));

    function party(
      work: (context: JobContext) => Promise<unknown>,
      { clock, store = one, type }: { readonly clock: ManualClock; readonly store?: OpenJobs; readonly type: string },
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
      const engine = new Engine({ store: store.jobs, types, clock, random: () => 0, events });
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
      const type = `type-${++names}`;
      const made: NamedJob = {
        name: `job-${names}`,
        tenant: 'system',
        type,
        schedule: { kind: 'every', everyMs: 1000 },
        catchUp: 'once',
        catchUpWindowMs: 86_400_000,
        overlap: 'skip',
        jitterMs: 0,
        retries: 0,
        retryMs: 1000,
        timeoutMs: 60_000,
        settings: {},
        ...given,
      };
      await one.jobs.put(made, { source: 'config', by: 'test', now: start });
      return made;
    }

    const history = async ({ name: of }: NamedJob): Promise<JobRun[]> =>
      (await one.jobs.runs(everyTenant, { limit: 1000, jobs: [of] })).toReversed();
    const ends = async (of: NamedJob): Promise<string[]> =>
      (await history(of)).map(({ status, due }) => `${status} ${(due - start) / 1000}`);

    test('run each due time once, however many they are', async () => {
      const { type, ...rest } = await job({ overlap: 'allow' });
      const done: number[] = [];
      const clock = new ManualClock(start);
      const work = async ({ run }: JobContext): Promise<void> => void done.push(run.due);
      const parties = [party(work, { clock, type }), party(work, { clock, type, store: other })];
      for (let i = 0; i < 10; i++) {
        clock.advance(2000);
        await Promise.all(parties.map(({ turn }) => turn()));
      }
      const expected = Array.from({ length: 20 }, (_, i) => start + (i + 1) * 1000);
      expect(done.toSorted((a, b) => a - b)).toEqual(expected);
      expect(await ends({ type, ...rest })).toHaveLength(20);
    });

    test('take a run over whose holder shows no sign of life, and not a moment earlier', async () => {
      const mine = await job();
      const clock = new ManualClock(start + 1500);
      const done: number[] = [];
      const survivor = party(async ({ run }) => void done.push(run.attempts), { clock, type: mine.type });
      await survivor.engine.refresh();
      await survivor.engine.makeDue();
      const [waiting] = await one.jobs.open(clock.now()).then((runs) => runs.filter(({ job: of }) => of === mine.name));
      const dead = (await other.jobs.claim(waiting!, 'dead', clock.now()))!;
      await one.jobs.pause(mine.name, 'test', clock.now());
      await survivor.turn();
      clock.advance(6400);
      await survivor.turn();
      expect(done).toEqual([]);
      // It lives: one beat is enough.
      expect(await other.jobs.beat(dead.id, dead.lease.token, 'hello\n')).toBe(true);
      clock.advance(200);
      await survivor.turn();
      clock.advance(6400);
      await survivor.turn();
      expect(done).toEqual([]);
      clock.advance(200);
      await survivor.turn();
      expect(done).toEqual([2]);
      // What comes back too late changes nothing any more.
      const end = { status: 'failed', at: 1, output: null, error: 'late', availableAt: 0 } as const;
      expect(await other.jobs.end(dead.id, dead.lease.token, end)).toBe(false);
      expect(await other.jobs.beat(dead.id, dead.lease.token, 'late\n')).toBe(false);
      expect(await history(mine)).toMatchObject([{ status: 'succeeded', attempts: 2, error: null, log: 'hello\n' }]);
    });

    test('tell a run that was taken over to stop, and don’t note what it came to', async () => {
      const mine = await job();
      const clock = new ManualClock(start + 1000);
      const begun = Promise.withResolvers<JobContext>();
      const late = party(
        async (context) => {
          begun.resolve(context);
          await new Promise((resolve) => context.signal.addEventListener('abort', resolve));
          return 'mine';
        },
        { clock, type: mine.type },
      );
      const turn = late.turn();
      const context = await begun.promise;
      const seen = (await other.jobs.run(everyTenant, context.run.id))!;
      const taken = (await other.jobs.claim(seen, 'other', clock.now()))!;
      await expect(context.confirm()).rejects.toThrow('Somebody else has taken the run over.');
      await turn;
      expect(late.heard).toEqual(['started 1', 'lost 1']);
      const end = { status: 'succeeded', at: 5, output: 'theirs', error: null, availableAt: 0 } as const;
      expect(await other.jobs.end(taken.id, taken.lease.token, end)).toBe(true);
      expect(await history(mine)).toMatchObject([{ status: 'succeeded', output: 'theirs' }]);
    });

    test('take over what has lost its holder however much goes on where they are', async () => {
      const mine = await job({ overlap: 'allow' });
      const clock = new ManualClock(start + 17_000);
      const finish = Promise.withResolvers<void>();
      const begun: number[] = [];
      const busy = party(
        ({ run }) => {
          begun.push(run.due);
          return finish.promise;
        },
        { clock, type: mine.type },
      );
      await busy.engine.refresh();
      await busy.engine.makeDue();
      const [oldest] = await history(mine);
      await other.jobs.claim(oldest!, 'dead', clock.now());
      await busy.engine.sweep();
      expect(begun).toHaveLength(16);
      expect(begun).not.toContain(oldest!.due);
      clock.advance(6600);
      await busy.engine.sweep();
      expect(begun).toHaveLength(17);
      expect(begun).toContain(oldest!.due);
      finish.resolve();
      await busy.engine.settled();
    });

    test('are not held up by a job whose schedule can’t be read on this machine', async () => {
      const unread = await job({ schedule: { kind: 'cron', cron: '* * * * * *', timezone: 'Mars/Olympus' } });
      const mine = await job({ type: unread.type });
      const clock = new ManualClock(start + 1000);
      const runner = party(async () => null, { clock, type: mine.type });
      await runner.turn();
      expect(await ends(mine)).toEqual(['succeeded 1']);
      expect(await history(unread)).toEqual([]);
      expect(runner.heard.filter((each) => each.startsWith('unreadable'))).toHaveLength(1);
      await one.jobs.remove(unread.name, 'config', clock.now());
    });

    test('one of several that claim a run has it', async () => {
      const mine = await job();
      const clock = new ManualClock(start + 1000);
      await Promise.all(
        [one, other].map((store) => party(async () => null, { clock, type: mine.type, store }).engine.refresh()),
      );
      const maker = party(async () => null, { clock, type: mine.type });
      await maker.engine.refresh();
      await maker.engine.makeDue();
      const [run] = await history(mine);
      const claims = await Promise.all(
        Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? one : other).jobs.claim(run!, `owner-${i}`, clock.now())),
      );
      expect(claims.filter((claim) => claim !== null)).toHaveLength(1);
    });

    test('never run two of a job at once where they may not, whoever claims them', async () => {
      const mine = await job({ overlap: 'queue' });
      const make = (due: number) =>
        one.jobs.create({
          id: `run_${mine.name}_${due}`,
          job: mine.name,
          tenant: 'system',
          due: start + due,
          cause: 'manual',
          startedBy: 'test',
          availableAt: start,
          isExclusive: true,
          mayWait: 5,
        });
      for (let i = 1; i <= 4; i++) expect(await make(i)).toBe('created');
      expect(await make(1)).toBe('exists');
      const runs = await history(mine);
      const claims = await Promise.all(
        runs.map((run, i) => (i % 2 === 0 ? one : other).jobs.claim(run, `owner-${i}`, start)),
      );
      expect(claims.filter((claim) => claim !== null)).toHaveLength(1);
    });

    test.each([
      ['skip', ['succeeded 1', 'skipped 2', 'skipped 3', 'skipped 4']],
      ['queue', ['succeeded 1', 'waiting 2', 'skipped 3', 'skipped 4']],
      ['allow', ['succeeded 1', 'succeeded 2', 'succeeded 3', 'succeeded 4']],
    ] as const)('do with a due time that comes while the job runs what %s says', async (overlap, expected) => {
      const mine = await job({ overlap });
      const clock = new ManualClock(start);
      const finish = Promise.withResolvers<void>();
      const runner = party(() => finish.promise, { clock, type: mine.type });
      for (let i = 0; i < 4; i++) {
        clock.advance(1000);
        await runner.engine.refresh();
        await runner.engine.makeDue();
        await runner.engine.sweep();
      }
      finish.resolve();
      await runner.engine.settled();
      expect(await ends(mine)).toEqual(expected);
    });

    test('make up for what was missed once, or each in its turn, as the job says', async () => {
      const once = await job({ schedule: { kind: 'every', everyMs: 60_000 } });
      const all = await job({ schedule: { kind: 'every', everyMs: 60_000 }, catchUp: 'all' });
      const clock = new ManualClock(start + 5 * 60_000 + 45_000);
      for (const mine of [once, all]) {
        const runner = party(async () => null, { clock, type: mine.type });
        for (let i = 0; i < 6; i++) await runner.turn();
      }
      expect((await history(once)).map(({ due, cause, status }) => [(due - start) / 60_000, cause, status])).toEqual([
        [5, 'catch-up', 'succeeded'],
      ]);
      expect(await ends(all)).toEqual([60, 120, 180, 240, 300].map((due) => `succeeded ${due}`));
    });

    test('try again after a failure, later each time, and then say why it failed', async () => {
      const mine = await job({ retries: 2, retryMs: 4000, schedule: { kind: 'at', at: start + 1000 } });
      const clock = new ManualClock(start + 1000);
      const tries: number[] = [];
      const runner = party(
        async () => {
          tries.push(clock.now() - start);
          throw new MizanError('upstream_error', 'Nobody is there.');
        },
        { clock, type: mine.type },
      );
      for (let i = 0; i < 16; i++) {
        await runner.turn();
        clock.advance(1000);
      }
      expect(tries).toEqual([1000, 5000, 13_000]);
      expect(runner.heard).toEqual(['started 1', 'retrying 1', 'retrying 1', 'failed 1']);
      expect(await history(mine)).toMatchObject([{ status: 'failed', attempts: 3, error: 'Nobody is there.' }]);
    });

    test('show nothing of a defect to people', async () => {
      const mine = await job();
      const clock = new ManualClock(start + 1000);
      await party(async () => Promise.reject(new TypeError('secret')), { clock, type: mine.type }).turn();
      expect(await history(mine)).toMatchObject([
        { status: 'failed', error: 'A defect of Mizan; its log has the cause.' },
      ]);
    });

    test('abort what takes longer than it may', async () => {
      const mine = await job({ timeoutMs: 20 });
      const clock = new ManualClock(start + 1000);
      const work = ({ signal }: JobContext): Promise<void> =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
      await party(work, { clock, type: mine.type }).turn();
      expect(await history(mine)).toMatchObject([
        { status: 'failed', error: 'It took longer than its time limit of 0 s, and was aborted.' },
      ]);
    });

    test('run nothing of a job that is paused, and go on from its next due time when it isn’t', async () => {
      const mine = await job();
      const clock = new ManualClock(start + 1000);
      const runner = party(async () => null, { clock, type: mine.type });
      await runner.turn();
      const service = new JobsService({ store: other.jobs, clock, types: new Map(), timezone: 'UTC' });
      const view = await service.find('anybody', mine.name);
      await service.pause(view, 'me');
      clock.advance(20_000);
      await runner.turn();
      expect(await service.find('anybody', mine.name)).toMatchObject({ pausedBy: 'me', next: [] });
      const asked = await service.run(view, 'me');
      await runner.turn();
      await service.resume(view);
      clock.advance(1000);
      await runner.turn();
      expect(await ends(mine)).toEqual(['succeeded 1', `succeeded ${(asked.due - start) / 1000}`, 'succeeded 22']);
    });

    test('hand over what doesn’t finish in time when they stop, and another goes on at once', async () => {
      const mine = await job({ schedule: { kind: 'at', at: start + 1000 } });
      const clock = new ManualClock(start + 1000);
      const begun = Promise.withResolvers<void>();
      const leaving = party(
        ({ signal }) => {
          begun.resolve();
          return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
        },
        { clock, type: mine.type },
      );
      void leaving.turn();
      await begun.promise;
      await leaving.engine.stop(0);
      const [handed] = await history(mine);
      expect(handed).toMatchObject({ status: 'waiting', attempts: 0 });
      await party(async () => 'done', { clock, type: mine.type, store: other }).turn();
      expect(await history(mine)).toMatchObject([{ status: 'succeeded', attempts: 1, output: 'done' }]);
    });

    test('give up a run that ends whoever runs it', async () => {
      const mine = await job();
      const clock = new ManualClock(start + 1500);
      const begun: number[] = [];
      const survivor = party(async ({ run }) => void begun.push(run.attempts), { clock, type: mine.type });
      await survivor.engine.refresh();
      await survivor.engine.makeDue();
      await one.jobs.pause(mine.name, 'test', clock.now());
      for (let i = 0; i < 4; i++) {
        const open = (await one.jobs.open(clock.now())).find(({ job: of }) => of === mine.name);
        await other.jobs.claim(open!, 'dead', clock.now());
      }
      await survivor.turn();
      clock.advance(6600);
      await survivor.turn();
      expect(begun).toEqual([]);
      const error = 'Whoever ran it was gone before its end, 4 times.';
      expect(await history(mine)).toMatchObject([{ status: 'failed', attempts: 5, error }]);
    });

    test('know how many runs in a row began late, whoever ran them and whatever was asked for in between', async () => {
      const mine = await job();
      const clock = new ManualClock(start + 1500);
      const runner = party(async () => null, { clock, type: mine.type });
      const later = async (lateness: number): Promise<number> => {
        await runner.engine.refresh();
        await runner.engine.makeDue();
        clock.advance(lateness);
        await runner.turn();
        const [last] = await one.jobs.lastRuns([mine.name]);
        clock.advance(1000);
        return last!.lateInARow;
      };
      expect([await later(0), await later(61_000), await later(70_000), await later(0)]).toEqual([0, 1, 2, 0]);
    });

    test('keep a job’s place where only its settings change, and begin anew where its schedule does', async () => {
      const mine = await job();
      const put = (changed: Partial<NamedJob>, now: number) =>
        one.jobs.put({ ...mine, ...changed }, { source: 'config', by: 'test', now });
      await one.jobs.advance(mine.name, start + 5000);
      const stored = async () => (await one.jobs.jobs()).find(({ name: of }) => of === mine.name)!;
      expect(await put({}, start + 50_000)).toBe(false);
      expect(await put({ settings: { keep: 3 } }, start + 50_000)).toBe(true);
      expect(await stored()).toMatchObject({ cursor: start + 5000, settings: { keep: 3 } });
      expect(await put({ schedule: { kind: 'every', everyMs: 2000 } }, start + 50_000)).toBe(true);
      expect(await stored()).toMatchObject({ cursor: start + 50_000 });
      // Who comes over the API can't change what is the configuration's.
      expect(await one.jobs.put(mine, { source: 'api', by: 'mallory', now: start })).toBe(false);
      expect(await one.jobs.remove(mine.name, 'api', start)).toBe(false);
    });

    test('keep what people ask for: the newest runs of each job, and those that are not old', async () => {
      const mine = await job({ overlap: 'allow' });
      const clock = new ManualClock(start);
      const runner = party(async () => null, { clock, type: mine.type });
      for (let i = 0; i < 6; i++) {
        clock.advance(1000);
        await runner.turn();
      }
      await one.jobs.prune(start + 5000, 1);
      expect(await ends(mine)).toEqual(['succeeded 5', 'succeeded 6']);
      // What is gone from the history is not run again.
      await party(async () => null, { clock, type: mine.type, store: other }).turn();
      expect(await ends(mine)).toEqual(['succeeded 5', 'succeeded 6']);
    });
  });
}
