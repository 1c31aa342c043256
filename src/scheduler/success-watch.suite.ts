import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { firstIdAt } from '../core/ids.ts';
import { everyTenant } from '../core/request-record.ts';
import type { JobFigures } from '../telemetry/job-metrics.ts';
import type { Scene } from './scene.suite.ts';
import { start } from './scene.suite.ts';
import { SuccessWatch } from './success-watch.ts';

/** What is shown of when jobs last succeeded, without asking for all of them every time. */
export function successPromises({ stores, job }: Scene): void {
  /** A run that others have begun at `start`. @returns What ends it. */
  async function begun(name: string): Promise<(at: number) => Promise<unknown>> {
    const { jobs } = stores.one;
    const id = `${firstIdAt(start)}${name}`.replace(/^req_/, 'run_');
    const room = { isExclusive: false, mayWait: 9, mostWaiting: 9 };
    const made = { id, job: name, tenant: 'system', due: start + 1, cause: 'manual', startedBy: 'somebody' } as const;
    expect(await jobs.create({ ...made, availableAt: start, ...room })).toBe('created');
    const run = await jobs.claim((await jobs.run(everyTenant, id))!, 'other', start);
    const end = { status: 'succeeded', output: null, error: null, availableAt: start } as const;
    return (at) => jobs.end(run!, { ...end, at });
  }

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
    const { name } = await job();
    const clock = new ManualClock(start);
    const look = watching(clock, name);
    expect(await look()).toEqual([]);
    const end = await begun(name);
    clock.advance(200_000);
    expect(await look()).toEqual([]);
    clock.advance(200_000);
    expect(await look()).toEqual([]);
    await end(clock.now());
    expect(await look()).toEqual([400]);
  });

  test('are not asked for again where nothing ran, but for all of them now and then', async () => {
    const { name } = await job();
    await (
      await begun(name)
    )(start + 1000);
    const clock = new ManualClock(start + 1000);
    const look = watching(clock, name);
    const looks: (readonly number[])[] = [];
    for (const ms of [200_000, 200_000, 100_000, 99_000, 1000]) {
      looks.push(await look());
      clock.advance(ms);
    }
    expect(looks).toEqual([[1], [1], [1], [], []]);
    expect(await look()).toEqual([1]);
  });
}
