import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/random.ts';
import { choiceOf, countsOf, fleetOf, instanceOf, isLikely, take } from './fleet.suite.ts';
import { leastBusy } from './least-busy.ts';

test.each([
  ['fewest in flight', [1, 1, 1], [3, 1, 2], 'b'],
  ['per weight: 4 of 10 is less than 1 of 2', [2, 10], [1, 4], 'b'],
  ['an idle one before all others', [1000, 1], [1, 0], 'b'],
  ['one that comes back slowly counts by the weight it has now', [0.1, 1], [1, 5], 'b'],
])('%s', (_, weights, inFlight, id) => {
  const fleet = weights.map((weight, index) => instanceOf('ab c'[index]!, { weight, inFlight: inFlight[index]! }));
  expect(leastBusy().choose(choiceOf(fleet)).id).toBe(id);
});

test('of instances that are equally busy each is as likely as its weight says', () => {
  const weights = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 2, maxLength: 8 });
  fc.assert(
    fc.property(weights, fc.nat(5), fc.nat(), (given, perWeight, seed) => {
      const fleet = given.map((weight, i) => instanceOf(`${i}`, { weight, inFlight: weight * perWeight }));
      const busier = instanceOf('busier', { weight: 1000, inFlight: 1000 * perWeight + 1 });
      const choice = choiceOf([busier, ...fleet], { random: seededRandom(seed) });
      const counts = countsOf(leastBusy(), choice, 5000);
      const sum = given.reduce((total, weight) => total + weight, 0);
      for (const one of fleet) expect(counts.get(one)).toSatisfy((n: number) => isLikely(n, 5000, one.weight / sum));
      expect(counts.get(busier)).toBe(0);
    }),
    { numRuns: 30 },
  );
});

test('requests that pile up are in flight by weight', () => {
  const fleet = fleetOf(2, 3, 5);
  const choice = choiceOf(fleet);
  for (let i = 1; i <= 1000; i++) {
    take(leastBusy(), choice).figures.inFlight++;
    for (const { figures, weight } of fleet) expect(Math.abs(figures.inFlight - (i * weight) / 10)).toBeLessThan(2);
  }
  expect(fleet.map(({ figures }) => figures.inFlight)).toEqual([200, 300, 500]);
});
