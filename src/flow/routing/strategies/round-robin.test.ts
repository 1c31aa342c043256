import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/random.ts';
import { choiceOf, countsOf, fleetOf, take } from './fleet.suite.ts';
import type { TestInstance } from './fleet.suite.ts';
import { roundRobin } from './round-robin.ts';

test.each([
  [[1, 1, 1], 'abcabc'],
  [[5, 1, 1], 'aabacaa'],
  [[2, 3, 5], 'cbacbccabc'],
  [[1], 'aaa'],
])('weights %j take turns as %s', (weights, turns) => {
  const strategy = roundRobin();
  const choice = choiceOf(fleetOf(...weights));
  expect(Array.from(turns, () => take(strategy, choice).id).join('')).toBe(turns);
});

test('over 100,000 picks each gets exactly its share', () => {
  const fleet = fleetOf(2, 3, 5);
  expect([...countsOf(roundRobin(), choiceOf(fleet), 100_000).values()]).toEqual([20_000, 30_000, 50_000]);
});

/** How far counts get from the exact shares, in turns, at any moment between two changes of who is there. */
function worstBetweenChanges(fleet: readonly TestInstance[], picks: number, longest: number, seed: number): number {
  const strategy = roundRobin();
  const random = seededRandom(seed);
  let worst = 0;
  for (let done = 0; done < picks;) {
    const present = fleet.filter(() => random() < 0.6);
    const choice = choiceOf(present.length === 0 ? fleet : present);
    const sum = choice.candidates.reduce((total, { weight }) => total + weight, 0);
    const counts = new Map<unknown, number>();
    const length = Math.min(1 + Math.floor(random() * longest), picks - done);
    for (let turn = 1; turn <= length; turn++) {
      const chosen = take(strategy, choice);
      counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
      for (const instance of choice.candidates) {
        worst = Math.max(worst, Math.abs((counts.get(instance) ?? 0) - (turn * instance.weight) / sum));
      }
    }
    done += length;
  }
  return worst;
}

test.each([1, 3, 10, 100, 5000])(
  'instances come and go after up to %i picks: between changes counts are within ±1 of the exact share',
  (longest) => {
    expect(worstBetweenChanges(fleetOf(2, 3, 5), 100_000, longest, longest)).toBeLessThanOrEqual(1 + 1e-9);
  },
);

test('the same for instances of equal weight, whatever their number', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.nat(), (count, seed) => {
      const fleet = fleetOf(...Array.from({ length: count }, () => 7));
      expect(worstBetweenChanges(fleet, 2000, 40, seed)).toBeLessThanOrEqual(1 + 1e-9);
    }),
  );
});

const anyWeights = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 7 });

test('in as many turns as the weights add up to, each gets exactly its weight, though others came in between', () => {
  fc.assert(
    fc.property(anyWeights, fc.nat(), (weights, seed) => {
      const strategy = roundRobin();
      const random = seededRandom(seed);
      const fleet = fleetOf(...weights);
      const choice = choiceOf(fleet);
      const counts = new Map<unknown, number>();
      for (let turn = weights.reduce((sum, weight) => sum + weight, 0); turn > 0; turn--) {
        const without = choiceOf(fleet.filter((_, index) => index === 0 || random() < 0.5));
        if (without.candidates.length < fleet.length) take(strategy, without);
        const chosen = take(strategy, choice);
        counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
      }
      expect(fleet.map((instance) => counts.get(instance))).toEqual(weights);
    }),
  );
});

test('sets of candidates that hardly ever come back do not all begin with the same instance', () => {
  const strategy = roundRobin();
  const random = seededRandom(5);
  const fleet = fleetOf(...Array.from({ length: 26 }, () => 1));
  const counts = new Map<unknown, number>();
  for (let i = 0; i < 26_000; i++) {
    const choice = choiceOf(fleet.filter((_, index) => index === i % 26 || random() < 0.5));
    const chosen = take(strategy, choice);
    counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
  }
  for (const instance of fleet) expect(Math.abs((counts.get(instance) ?? 0) - 1000)).toBeLessThan(30);
});

test('an instance that comes back slowly gets as much as its weight counts now', () => {
  const fleet = fleetOf(1, 1);
  fleet[0]!.figures.weightNow = 0.25;
  expect([...countsOf(roundRobin(), choiceOf(fleet), 1000).values()]).toEqual([200, 800]);
});
