import { expect, test, vi } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import type { NamedJob } from '../core/jobs.ts';
import { everyTenant } from '../core/request-record.ts';
import type { JobContext } from './contract.ts';
import type { Scene } from './scene.suite.ts';
import { mostWaiting, start } from './scene.suite.ts';
import { JobsService } from './service.ts';
import { places } from './turns.ts';

/** However much there is to do, everybody has a turn, and there is an end of what may wait. */
export function turnsPromises({ stores, party, job, history, ends }: Scene): void {
  const once = { kind: 'at', at: start - 1000 } as const;
  const serviceAt = (clock: ManualClock) =>
    new JobsService({ store: stores.one.jobs, clock, types: new Map(), timezone: 'UTC', mostWaiting });
  const asked = async (mine: NamedJob, clock: ManualClock, times: number): Promise<void> => {
    const service = serviceAt(clock);
    const view = await service.find(everyTenant, mine.name);
    for (let i = 0; i < times; i++) await service.run(view, 'me');
  };

  /** Begins what there is room for, and lets it go on until it is told to end. */
  function holding(type: string, clock: ManualClock) {
    const begun: JobContext[] = [];
    const held: { readonly job: string; readonly end: () => void }[] = [];
    const runner = party(
      (context) => {
        begun.push(context);
        return new Promise<void>((resolve) => held.push({ job: context.job.name, end: resolve }));
      },
      { clock, type },
    );
    const endAt = (index: number, count: number): void => held.splice(index, count).forEach(({ end }) => end());
    return {
      runner,
      begun,
      endOneOf: ({ name }: NamedJob) =>
        endAt(
          held.findIndex(({ job: of }) => of === name),
          1,
        ),
      endAll: () => endAt(0, held.length),
    };
  }

  test('as many runs of a job wait as may, and whoever asks for one more is told so', async () => {
    const mine = await job({ schedule: once, tenant: 'acme' });
    const clock = new ManualClock(start);
    await asked(mine, clock, mostWaiting);
    const refused = asked(mine, clock, 1);
    await expect(refused).rejects.toMatchObject({ code: 'job_queue_full' });
    await expect(refused).rejects.toThrow(`${mostWaiting} runs of "${mine.name}" wait already`);
    expect(await history(mine)).toHaveLength(mostWaiting);
    const runner = party(async () => null, { clock, type: mine.type });
    await runner.turn();
    await asked(mine, clock, 1);
    await stores.one.jobs.remove(mine.name, 'config', start);
    for (let i = 0; i < mostWaiting; i++) await runner.turn();
  });

  test('due times that come faster than they are dealt with are skipped when as many wait as may', async () => {
    const mine = await job({ overlap: 'allow' });
    const clock = new ManualClock(start);
    const { runner } = holding(mine.type, clock);
    await runner.engine.refresh();
    for (let i = 0; i < mostWaiting + 3; i++) {
      clock.advance(1000);
      await runner.engine.makeDue();
    }
    const seen = await ends(mine);
    expect(seen.filter((each) => each.startsWith('waiting'))).toHaveLength(mostWaiting);
    expect(seen.slice(-2)).toEqual([`skipped ${mostWaiting + 2}`, `skipped ${mostWaiting + 3}`]);
    await stores.one.jobs.remove(mine.name, 'config', start);
    const cleaner = party(async () => null, { clock, type: mine.type });
    for (let i = 0; i < 4; i++) await cleaner.turn();
  });

  test('a job of which many wait is not in the way of another, nor one tenant in the way of all', async () => {
    const many = await job({ schedule: once, overlap: 'allow', tenant: 'acme' });
    const { type } = many;
    const few = await job({ schedule: once, overlap: 'allow', tenant: 'acme', type });
    const others = await job({ schedule: once, overlap: 'allow', tenant: 'globex', type });
    const third = await job({ schedule: once, overlap: 'allow', tenant: 'initech', type });
    const own = await job({ schedule: once, overlap: 'allow', tenant: 'system', type });
    const clock = new ManualClock(start);
    await asked(many, clock, mostWaiting);
    clock.advance(1);
    for (const late of [few, others, third, own]) await asked(late, clock, 1);
    const { runner, begun, endOneOf, endAll } = holding(type, clock);
    await runner.engine.refresh();
    await runner.engine.sweep();
    await vi.waitFor(() => expect(begun).toHaveLength(places.tenant + 3));
    const countOf = ({ name }: NamedJob): number => begun.filter((each) => each.job.name === name).length;
    expect([few, others, third, own].map(countOf)).toEqual([1, 1, 1, 1]);
    expect(countOf(many) + countOf(few)).toBe(places.tenant);
    // One place is free: it goes to whom a place was given longest ago, and not to who has waited longest.
    await asked(others, clock, 1);
    begun.length = 0;
    endOneOf(many);
    await vi.waitFor(async () => {
      await runner.engine.sweep();
      expect(begun).toHaveLength(1);
    });
    expect(begun.map((each) => each.job.name)).toEqual([others.name]);
    endAll();
    await runner.engine.settled();
    await runner.engine.sweep();
    await vi.waitFor(() => expect(begun).toHaveLength(10));
    endAll();
    await runner.engine.settled();
  });
}
