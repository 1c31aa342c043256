import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import type { JobFigures } from '../telemetry/job-metrics.ts';
import type { Scene } from './scene.suite.ts';
import { start } from './scene.suite.ts';
import { SuccessWatch } from './success-watch.ts';

/** What is shown of when jobs last succeeded, without asking for all of them every time. */
export function successPromises({ stores, party, job }: Scene): void {
  function watching(clock: ManualClock, name: string) {
    const told: number[] = [];
    const figures: Pick<JobFigures, 'succeeded' | 'late'> = {
      succeeded: (_, at) => void told.push((at - start) / 1000),
      late() {},
    };
    const watch = new SuccessWatch({ store: stores.other.jobs, figures, clock }, (each) => each === name);
    return async (): Promise<readonly number[]> => {
      await watch.look();
      return told.splice(0);
    };
  }

  test('show a success of others that came since, though its run was begun long before', async () => {
    const mine = await job();
    const clock = new ManualClock(start + 1000);
    const look = watching(clock, mine.name);
    expect(await look()).toEqual([]);
    const finish = Promise.withResolvers<void>();
    const runner = party(() => finish.promise, { clock, type: mine.type });
    await runner.engine.refresh();
    await runner.engine.makeDue();
    await runner.engine.sweep();
    clock.advance(200_000);
    expect(await look()).toEqual([]);
    clock.advance(200_000);
    finish.resolve();
    await runner.engine.settled();
    expect(await look()).toEqual([401]);
  });

  test('are not asked for again where nothing ran, but for all of them now and then', async () => {
    const mine = await job();
    const clock = new ManualClock(start + 1000);
    await party(async () => null, { clock, type: mine.type }).turn();
    const look = watching(clock, mine.name);
    const looks: (readonly number[])[] = [];
    for (const ms of [200_000, 200_000, 100_000, 99_000, 1000]) {
      looks.push(await look());
      clock.advance(ms);
    }
    expect(looks).toEqual([[1], [1], [1], [], []]);
    expect(await look()).toEqual([1]);
  });
}
