import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { JobRun, NamedJob } from '../core/jobs.ts';
import { seededRandom } from '../core/random.ts';
import { openStore } from '../store/index.ts';
import { sceneOn, start } from './scene.suite.ts';

// What is drawn by lot: that it stays within its bounds, and goes everywhere within them.

const folder = mkdtempSync(join(tmpdir(), 'mizan-spread-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const { stores, party, job, history } = sceneOn(async () => ({ open: () => openStore({ folder, url: null }) }));

/** How many are in each quarter of what is from `least` to `most`. */
function quarters(drawn: readonly number[], least: number, most: number): number[] {
  const counts = [0, 0, 0, 0];
  for (const each of drawn) {
    const quarter = Math.floor(((each - least) / (most - least)) * 4);
    counts[quarter] = (counts[quarter] ?? 0) + 1;
  }
  return counts;
}

const mean = (drawn: readonly number[]): number => drawn.reduce((sum, each) => sum + each, 0) / drawn.length;

test('a job with jitter begins anywhere within it, never before its due time and never after', async () => {
  const jitterMs = 10_000;
  const mine = await job({ overlap: 'allow', jitterMs });
  const clock = new ManualClock(start);
  const { engine } = party(async () => null, { clock, type: mine.type, random: seededRandom(8) });
  await engine.refresh();
  for (let i = 0; i < 400; i++) {
    clock.advance(1000);
    await engine.makeDue();
  }
  const drawn = (await history(mine)).map(({ availableAt, due }) => availableAt - due);
  expect(drawn).toHaveLength(400);
  expect(Math.min(...drawn)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...drawn)).toBeLessThan(jitterMs);
  for (const count of quarters(drawn, 0, jitterMs)) expect(count).toBeGreaterThan(70);
  expect(Math.abs(mean(drawn) - jitterMs / 2)).toBeLessThan(jitterMs / 20);
  await stores.one.jobs.remove(mine.name, 'config', start);
});

test('no jitter is none', async () => {
  const mine = await job({ overlap: 'allow' });
  const clock = new ManualClock(start);
  const { engine } = party(async () => null, { clock, type: mine.type, random: seededRandom(9) });
  await engine.refresh();
  clock.advance(5000);
  await engine.makeDue();
  expect((await history(mine)).map(({ availableAt, due }) => availableAt - due)).toEqual([0, 0, 0, 0, 0]);
  await stores.one.jobs.remove(mine.name, 'config', start);
});

/** How long is waited after each failure of a job's only run. */
async function waits(given: Partial<NamedJob>, random = seededRandom(1)): Promise<number[]> {
  const mine = await job({ schedule: { kind: 'at', at: start + 1000 }, ...given });
  const clock = new ManualClock(start + 1000);
  const fail = async () => Promise.reject(new MizanError('upstream_error', 'Nobody is there.'));
  const runner = party(fail, { clock, type: mine.type, random });
  const waited: number[] = [];
  for (;;) {
    await runner.turn();
    const [run] = (await history(mine)) as [JobRun];
    if (run.status === 'failed') return waited;
    waited.push(run.availableAt - clock.now());
    clock.advance(run.availableAt - clock.now());
  }
}

test('each wait after a failure is twice as long, less up to a quarter, and an hour at the most', async () => {
  const waited = await waits({ retries: 12, retryMs: 4000 });
  expect(waited).toHaveLength(12);
  for (const [i, wait] of waited.entries()) {
    const whole = Math.min(4000 * 2 ** i, 3_600_000);
    expect(wait).toBeGreaterThanOrEqual(0.75 * whole);
    expect(wait).toBeLessThanOrEqual(whole);
  }
  expect(waited.at(-1)).toBeGreaterThanOrEqual(0.75 * 3_600_000);
});

test('those that failed together come back one by one', async () => {
  const random = seededRandom(2);
  const first: number[] = [];
  for (let i = 0; i < 60; i++) first.push(...(await waits({ retries: 1, retryMs: 40_000 }, random)));
  for (const count of quarters(first, 30_000, 40_001)) expect(count).toBeGreaterThan(6);
  expect(new Set(first).size).toBeGreaterThan(55);
  expect(Math.abs(mean(first) - 35_000)).toBeLessThan(1000);
});
