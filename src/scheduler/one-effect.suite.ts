import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { everyTenant } from '../core/request-record.ts';
import type { JobContext } from './contract.ts';
import type { Scene } from './scene.suite.ts';
import { mostWaiting, start } from './scene.suite.ts';

/** Of each due time one effect, whoever is gone and comes back. */
export function oneEffectPromises({ stores, party, job, history, ends }: Scene): void {
  test('run each due time once, however many they are', async () => {
    const { type, ...rest } = await job({ overlap: 'allow' });
    const done: number[] = [];
    const clock = new ManualClock(start);
    const work = async ({ run }: JobContext): Promise<void> => void done.push(run.due);
    const parties = [party(work, { clock, type }), party(work, { clock, type, store: stores.other })];
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
    const [waiting] = await stores.one.jobs
      .open(clock.now())
      .then((runs) => runs.filter(({ job: of }) => of === mine.name));
    const dead = (await stores.other.jobs.claim(waiting!, 'dead', clock.now()))!;
    await stores.one.jobs.pause(mine.name, 'test', clock.now());
    await survivor.turn();
    clock.advance(6400);
    await survivor.turn();
    expect(done).toEqual([]);
    // It lives: one beat is enough.
    expect(await stores.other.jobs.beat(dead.id, dead.lease.token, 'hello\n')).toBe(true);
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
    expect(await stores.other.jobs.end(dead, end)).toBe(false);
    expect(await stores.other.jobs.beat(dead.id, dead.lease.token, 'late\n')).toBe(false);
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
    const seen = (await stores.other.jobs.run(everyTenant, context.run.id))!;
    const taken = (await stores.other.jobs.claim(seen, 'other', clock.now()))!;
    await expect(context.confirm()).rejects.toThrow('Somebody else has taken the run over.');
    await turn;
    expect(late.heard).toEqual(['started 1', 'lost 1']);
    const end = { status: 'succeeded', at: 5, output: 'theirs', error: null, availableAt: 0 } as const;
    expect(await stores.other.jobs.end(taken, end)).toBe(true);
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
    await stores.other.jobs.claim(oldest!, 'dead', clock.now());
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

  test('one of several that claim a run has it', async () => {
    const mine = await job();
    const clock = new ManualClock(start + 1000);
    await Promise.all(
      [stores.one, stores.other].map((store) =>
        party(async () => null, { clock, type: mine.type, store }).engine.refresh(),
      ),
    );
    const maker = party(async () => null, { clock, type: mine.type });
    await maker.engine.refresh();
    await maker.engine.makeDue();
    const [run] = await history(mine);
    const claims = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        (i % 2 === 0 ? stores.one : stores.other).jobs.claim(run!, `owner-${i}`, clock.now()),
      ),
    );
    expect(claims.filter((claim) => claim !== null)).toHaveLength(1);
  });

  test('never run two of a job at once where they may not, whoever claims them', async () => {
    const mine = await job({ overlap: 'queue' });
    const make = (due: number) =>
      stores.one.jobs.create({
        id: `run_${mine.name}_${due}`,
        job: mine.name,
        tenant: 'system',
        due: start + due,
        cause: 'manual',
        startedBy: 'test',
        availableAt: start,
        isExclusive: true,
        mayWait: 5,
        mostWaiting,
      });
    for (let i = 1; i <= 4; i++) expect(await make(i)).toBe('created');
    expect(await make(1)).toBe('exists');
    const runs = await history(mine);
    const claims = await Promise.all(
      runs.map((run, i) => (i % 2 === 0 ? stores.one : stores.other).jobs.claim(run, `owner-${i}`, start)),
    );
    expect(claims.filter((claim) => claim !== null)).toHaveLength(1);
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
    await party(async () => 'done', { clock, type: mine.type, store: stores.other }).turn();
    expect(await history(mine)).toMatchObject([{ status: 'succeeded', attempts: 1, output: 'done' }]);
  });

  test('give up a run that ends whoever runs it', async () => {
    const mine = await job();
    const clock = new ManualClock(start + 1500);
    const begun: number[] = [];
    const survivor = party(async ({ run }) => void begun.push(run.attempts), { clock, type: mine.type });
    await survivor.engine.refresh();
    await survivor.engine.makeDue();
    await stores.one.jobs.pause(mine.name, 'test', clock.now());
    for (let i = 0; i < 4; i++) {
      const open = (await stores.one.jobs.open(clock.now())).find(({ job: of }) => of === mine.name);
      await stores.other.jobs.claim(open!, 'dead', clock.now());
    }
    await survivor.turn();
    clock.advance(6600);
    await survivor.turn();
    expect(begun).toEqual([]);
    const error = 'Whoever ran it was gone before its end, 4 times.';
    expect(await history(mine)).toMatchObject([{ status: 'failed', attempts: 5, error }]);
  });
}
