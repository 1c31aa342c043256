import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import type { NamedJob } from '../core/jobs.ts';
import { newRunId } from './run-id.ts';
import type { Scene } from './scene.suite.ts';
import { start } from './scene.suite.ts';

/** What becomes of due times that come late, or too soon. */
export function dueTimePromises({ stores, party, job, history, ends }: Scene): void {
  test('are not held up by a job whose schedule can’t be read on this machine', async () => {
    const unread = await job({ schedule: { kind: 'cron', cron: '* * * * * *', timezone: 'Mars/Olympus' } });
    const mine = await job({ type: unread.type });
    const clock = new ManualClock(start + 1000);
    const runner = party(async () => null, { clock, type: mine.type });
    await runner.turn();
    expect(await ends(mine)).toEqual(['succeeded 1']);
    expect(await history(unread)).toEqual([]);
    expect(runner.heard.filter((each) => each.startsWith('unreadable'))).toHaveLength(1);
    await stores.one.jobs.remove(unread.name, 'config', clock.now());
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

  test('know how many runs in a row began late, whoever ran them and whatever was asked for in between', async () => {
    const mine = await job();
    const clock = new ManualClock(start + 1500);
    const runner = party(async () => null, { clock, type: mine.type });
    const later = async (lateness: number): Promise<number> => {
      await runner.engine.refresh();
      await runner.engine.makeDue();
      clock.advance(lateness);
      await runner.turn();
      const [last] = await stores.one.jobs.lastRuns([mine.name]);
      clock.advance(1000);
      return last!.lateInARow;
    };
    expect([await later(0), await later(61_000), await later(70_000), await later(0)]).toEqual([0, 1, 2, 0]);
  });

  test('are seen together with their jobs, as each is seen alone', async () => {
    const { jobs } = stores.one;
    const mine = await job({ overlap: 'allow', settings: { words: 'a "quoted" \\ one, and 早' } });
    const clock = new ManualClock(start + 1000);
    const runner = party(() => Promise.reject(new Error('broken')), { clock, type: mine.type });
    await runner.turn();
    const at = { job: mine.name, tenant: 'system', availableAt: start, isExclusive: false, mayWait: 9, mostWaiting: 9 };
    const by = { cause: 'manual', startedBy: `O'Neil "the" \\ ☃` } as const;
    for (const due of [1, 2]) await jobs.create({ id: newRunId(start + due), due: start + due, ...at, ...by });
    const [first] = await jobs.open(clock.now());
    expect(await jobs.claim(first!, 'me', clock.now())).not.toBe(null);
    const apart = { jobs: await jobs.changed(0), runs: await jobs.open(clock.now()) };
    expect(apart.runs.filter(({ job: of }) => of === mine.name)).toHaveLength(2);
    const byName = (seen: typeof apart) => ({ ...seen, jobs: seen.jobs.toSorted((a, b) => a.revision - b.revision) });
    expect(byName(await jobs.look(0, clock.now()))).toEqual(byName(apart));
    expect(await jobs.look(1_000_000, start - 1_000_000)).toMatchObject({ jobs: [] });
  });

  test('keep a job’s place where only its settings change, and begin anew where its schedule does', async () => {
    const mine = await job();
    const put = (changed: Partial<NamedJob>, now: number) =>
      stores.one.jobs.put({ ...mine, ...changed }, { source: 'config', by: 'test', now });
    await stores.one.jobs.advance(mine.name, start + 5000);
    const stored = async () => (await stores.one.jobs.jobs()).find(({ name: of }) => of === mine.name)!;
    expect(await put({}, start + 50_000)).toBe(false);
    expect(await put({ settings: { keep: 3 } }, start + 50_000)).toBe(true);
    expect(await stored()).toMatchObject({ cursor: start + 5000, settings: { keep: 3 } });
    expect(await put({ schedule: { kind: 'every', everyMs: 2000 } }, start + 50_000)).toBe(true);
    expect(await stored()).toMatchObject({ cursor: start + 50_000 });
    // Who comes over the API can't change what is the configuration's.
    expect(await stores.one.jobs.put(mine, { source: 'api', by: 'mallory', now: start })).toBe(false);
    expect(await stores.one.jobs.remove(mine.name, 'api', start)).toBe(false);
  });
}
