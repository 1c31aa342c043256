import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/random.ts';
import { choiceOf, countsOf, instanceOf, isLikely, take } from './fleet.suite.ts';
import type { TestInstance } from './fleet.suite.ts';
import { quota } from './quota.ts';

const times = 10_000;

test.each([
  ['the more is left, the more often', [0.9, 0.5, 0.1], [1 - (0.6 / 1.5) ** 2, (0.6 / 1.5) ** 2 - (0.1 / 1.5) ** 2]],
  ['of two with nearly as much each gets its part', [0.51, 0.5], [1 - (0.5 / 1.01) ** 2]],
  ['one with nothing left is never asked while another has anything', [0, 0.01, 0], [0, 1, 0]],
  ['one with hardly anything left is hardly asked', [1, 0.01], [1 - (0.01 / 1.01) ** 2]],
  ['where nothing has a limit none is preferred', [1, 1, 1, 1], [0.25, 0.25, 0.25, 0.25]],
])('%s', (_, left, shares) => {
  const fleet = left.map((headroom, index) => instanceOf(`${index}`, { left: headroom }));
  const counts = countsOf(quota(), choiceOf(fleet), times);
  for (const [index, share] of shares.entries()) {
    expect(counts.get(fleet[index]!)).toSatisfy((n: number) => isLikely(n, times, share));
  }
});

test('of two with as much left the less busy is asked; with nothing left anywhere, the least busy of all', () => {
  const fleet = [5, 1].map((inFlight) => instanceOf(`${inFlight}`, { inFlight }));
  // The busy one only where it is drawn twice.
  expect(countsOf(quota(), choiceOf(fleet), times).get(fleet[0]!)).toSatisfy((n: number) => isLikely(n, times, 0.25));
  const empty = [5, 1, 3].map((inFlight) => instanceOf(`${inFlight}`, { inFlight, left: 0 }));
  expect(countsOf(quota(), choiceOf(empty), 100).get(empty[1]!)).toBe(100);
});

test('it is drawn by weight too', () => {
  const fleet = [1, 3].map((weight) => instanceOf(`${weight}`, { weight, inFlight: weight, left: 0.5 }));
  // Equal headroom and equal load: a tie, which least-busy breaks by weight again.
  const share = (3 / 4) ** 2 + 2 * (3 / 4) * (1 / 4) * (3 / 4);
  expect(countsOf(quota(), choiceOf(fleet), times).get(fleet[1]!)).toSatisfy((n: number) => isLikely(n, times, share));
});

test.each([
  [[100, 1000, 5000], 0.7, 25],
  [[1000, 1000, 1000, 200], 0.9, 25],
  [[1000, 1000], 0.95, 100],
])(
  'quotas of %j are used evenly enough that none is overrun at %f of them all, known %i requests late',
  (limits, use, late) => {
    const fleet = limits.map((limit) => instanceOf(`${limit}`));
    const sent = new Map<TestInstance, number>(fleet.map((instance) => [instance, 0]));
    const random = seededRandom(4);
    const total = limits.reduce((sum, limit) => sum + limit, 0);
    for (let i = 0; i < use * total; i++) {
      if (i % late === 0)
        for (const [index, one] of fleet.entries()) one.figures.left = 1 - sent.get(one)! / limits[index]!;
      const chosen = take(quota(), choiceOf(fleet, { random }));
      sent.set(chosen, sent.get(chosen)! + 1);
    }
    for (const [index, one] of fleet.entries()) {
      expect(sent.get(one)).toBeLessThan(limits[index]!);
      expect(sent.get(one)).toBeGreaterThan(limits[index]! * (use - 0.2));
    }
  },
);
