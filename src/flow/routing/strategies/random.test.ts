import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/random.ts';
import { choiceOf, countsOf, fleetOf, isLikely } from './fleet.suite.ts';
import { random } from './random.ts';

test('each is as likely as its weight says', () => {
  const weights = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(weights, fc.nat(), (given, seed) => {
      const fleet = fleetOf(...given);
      const counts = countsOf(random(), choiceOf(fleet, { random: seededRandom(seed) }), 5000);
      const sum = given.reduce((total, weight) => total + weight, 0);
      for (const one of fleet) expect(counts.get(one)).toSatisfy((n: number) => isLikely(n, 5000, one.weight / sum));
    }),
  );
});

test.each([
  [0, 'a'],
  [0.1999, 'a'],
  [0.2, 'b'],
  [0.4999, 'b'],
  [0.5, 'c'],
  [0.999_999_999_999_999_9, 'c'],
])('of weights 2/3/5 the number %f is %s', (number, id) => {
  expect(random().choose(choiceOf(fleetOf(2, 3, 5), { random: () => number })).id).toBe(id);
});

test('it is the weight of now that counts', () => {
  const fleet = fleetOf(1, 1);
  fleet[1]!.figures.weightNow = 0.1;
  const counts = countsOf(random(), choiceOf(fleet), 10_000);
  expect(counts.get(fleet[1]!)).toSatisfy((n: number) => isLikely(n, 10_000, 0.1 / 1.1));
});
