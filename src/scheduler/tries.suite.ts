import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { JobContext } from './contract.ts';
import type { Scene } from './scene.suite.ts';
import { mostWaiting, start } from './scene.suite.ts';
import { JobsService } from './service.ts';

/** How runs end, and what stays of them. */
export function triesPromises({ stores, party, job, history, ends }: Scene): void {
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
    const service = new JobsService({
      store: stores.other.jobs,
      clock,
      types: new Map(),
      timezone: 'UTC',
      mostWaiting,
    });
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

  test('keep what people ask for: the newest runs of each job, and those that are not old', async () => {
    const mine = await job({ overlap: 'allow' });
    const clock = new ManualClock(start);
    const runner = party(async () => null, { clock, type: mine.type });
    for (let i = 0; i < 6; i++) {
      clock.advance(1000);
      await runner.turn();
    }
    await stores.one.jobs.prune(start + 5000, 1);
    expect(await ends(mine)).toEqual(['succeeded 5', 'succeeded 6']);
    // What is gone from the history is not run again.
    await party(async () => null, { clock, type: mine.type, store: stores.other }).turn();
    expect(await ends(mine)).toEqual(['succeeded 5', 'succeeded 6']);
  });
}
