import { expect, test } from 'vitest';
import { asFastAsItGoes, besideAnswers, RemovalPace } from './removal-pace.ts';
import type { RemovalRules } from './removal-pace.ts';

interface World {
  now: number;
  isHeldUp: boolean;
  isStopped: boolean;
  /** How much later than it should a timer ends, in ms. */
  late: number;
}

function paceIn(rules: RemovalRules = besideAnswers) {
  const world: World = { now: 0, isHeldUp: false, isStopped: false, late: 0 };
  const pace = new RemovalPace(rules, {
    isStopped: () => world.isStopped,
    isHeldUp: () => world.isHeldUp,
    now: () => world.now,
    rest: async (ms) => void (world.now += ms + world.late),
  });
  /** So many transactions of so many ms. @returns How long they took in all, in ms. */
  const work = async (count: number, ms: number): Promise<number> => {
    const startedAt = world.now;
    for (let i = 0; i < count; i++) await pace.step(() => (world.now += ms));
    return world.now - startedAt;
  };
  return { world, pace, work };
}

test('whatever is old is gone in forty minutes, so that what came in an hour goes faster than it came', async () => {
  const { pace, work } = paceIn();
  pace.expect(1_000_000);
  expect(await work(1_000_000, 0.1)).toBeCloseTo(2_400_000, -3);
});

test('few go fifty in a second, so that they are gone soon and nobody feels it', async () => {
  const { pace, work } = paceIn();
  pace.expect(100);
  const took = await work(100, 0.5);
  expect(took).toBeGreaterThan(1950);
  expect(took).toBeLessThan(2000);
});

test('transactions that take long rest in proportion, whatever is behind', async () => {
  const { pace, work } = paceIn();
  pace.expect(1_000_000_000);
  expect(await work(100, 10)).toBe(100 * 10 + 99 * 60);
});

test('timers that end late make it no slower', async () => {
  const { world, pace, work } = paceIn();
  world.late = 5;
  pace.expect(1000);
  expect(await work(1000, 0.5)).toBeLessThan(20_100);
});

test('a command waits only for as long as others have to get to write', async () => {
  const { pace, work } = paceIn(asFastAsItGoes);
  pace.expect(10);
  expect(await work(100, 1)).toBe(100 + 99 * 6);
});

test('who is in the way is waited for, but not for ever, and not where it is told to stop', async () => {
  const { world, pace, work } = paceIn();
  pace.expect(1);
  world.isHeldUp = true;
  expect(await work(1, 0)).toBe(600_000);
  expect(await work(10, 0)).toBeLessThan(300);
  const other = paceIn();
  other.world.isHeldUp = true;
  other.world.isStopped = true;
  expect(await other.work(1, 0)).toBe(0);
});
