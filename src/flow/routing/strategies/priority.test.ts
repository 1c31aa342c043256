import fc from 'fast-check';
import { expect, test } from 'vitest';
import { anyFleet, choiceOf, countsOf, instanceOf, take } from './fleet.suite.ts';
import { priority } from './priority.ts';

const own = instanceOf('own', { priority: 1, weight: 1 });
const ownBig = instanceOf('own big', { priority: 1, weight: 3 });
const spare = instanceOf('spare', { priority: 2, weight: 2 });
const spareBig = instanceOf('spare big', { priority: 2, weight: 3 });
const last = instanceOf('last', { priority: 7, weight: 1000 });

test.each([
  ['all are there: the first tier, by weight', [last, spare, own, ownBig, spareBig], [0, 0, 250, 750, 0]],
  ['one of the first tier is there: it takes all', [own, spare, spareBig, last], [1000, 0, 0, 0]],
  ['the first tier is away: the second, by weight', [spare, last, spareBig], [400, 0, 600]],
  ['only the last is there', [last], [1000]],
])('%s', (_, candidates, counts) => {
  expect([...countsOf(priority(), choiceOf(candidates), 1000).values()]).toEqual(counts);
});

test('a tier goes on with its turns where it was before requests spilled over', () => {
  const strategy = priority();
  const turns = [0, 1, 0, 1, 0, 1, 0, 1].map((spilled) => {
    const choice = choiceOf(spilled ? [spare, spareBig] : [own, ownBig, spare, spareBig]);
    return take(strategy, choice).id;
  });
  expect(turns.filter((_, i) => i % 2 === 0).toSorted()).toEqual(['own', 'own big', 'own big', 'own big']);
});

test('no candidate of a higher tier is passed over', () => {
  fc.assert(
    fc.property(anyFleet, fc.nat(50), (fleet, times) => {
      const strategy = priority();
      const choice = choiceOf(fleet);
      countsOf(strategy, choice, times);
      expect(strategy.choose(choice).priority).toBe(Math.min(...fleet.map((instance) => instance.priority)));
    }),
  );
});
