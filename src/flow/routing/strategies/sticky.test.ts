import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/random.ts';
import type { Instance } from '../model.ts';
import { anyFleet, choiceOf, fleetOf, instanceOf, isLikely } from './fleet.suite.ts';
import type { TestInstance } from './fleet.suite.ts';
import { sticky } from './sticky.ts';

const strategy = sticky();

const keys = Array.from({ length: 5000 }, (_, i) => `session-${i}`);

function chosenFor(affinity: string, fleet: readonly Instance[]): Instance {
  return strategy.choose(choiceOf(fleet, { needs: { affinity } }));
}

test.each([
  ['session-1', 'b'],
  ['session-2', 'a'],
  ['You are a helpful assistant.', 'b'],
  ['', 'c'],
  ['أنت مساعد', 'c'],
])('%j is the same instance in every process and release', (affinity, id) => {
  expect(chosenFor(affinity, fleetOf(1, 1, 1)).id).toBe(id);
});

test('chance and time do not matter, nor the order of candidates', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), fc.nat(), (affinity, seed, now) => {
      const fleet = fleetOf(1, 2, 3, 4);
      const choice = choiceOf(fleet.toReversed(), { needs: { affinity }, now, random: seededRandom(seed) });
      expect(strategy.choose(choice)).toBe(chosenFor(affinity, fleet));
    }),
  );
});

test('keys are shared out by weight', () => {
  for (const weights of [
    [2, 3, 5],
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    [1, 1000],
  ]) {
    const fleet = fleetOf(...weights);
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const counts = Map.groupBy(keys, (key) => chosenFor(key, fleet));
    for (const instance of fleet) {
      const count = counts.get(instance)?.length ?? 0;
      expect(count).toSatisfy((n: number) => isLikely(n, keys.length, instance.weight / sum));
    }
  }
});

test('when one of N leaves only its keys move, over all others, and come home when it is back', () => {
  const fleet = fleetOf(1, 2, 3, 4, 5);
  for (const leaver of fleet) {
    const rest = fleet.filter((instance) => instance !== leaver);
    const movers = keys.filter((key) => chosenFor(key, fleet) !== chosenFor(key, rest));
    expect(movers).toEqual(keys.filter((key) => chosenFor(key, fleet) === leaver));
    const goals = Map.groupBy(movers, (key) => chosenFor(key, rest));
    for (const instance of rest) {
      const share = instance.weight / (15 - leaver.weight);
      expect(goals.get(instance)?.length).toSatisfy((n: number) => isLikely(n, movers.length, share));
    }
  }
});

test('an instance whose weight grows gets keys, and no key moves between the others', () => {
  const fleet = fleetOf(1, 1, 1);
  const growing = fleet[1]!;
  growing.figures.weightNow = 0.01;
  let before = new Map(keys.map((key) => [key, chosenFor(key, fleet)]));
  for (const weight of [0.1, 0.3, 0.6, 1]) {
    growing.figures.weightNow = weight;
    const after = new Map(keys.map((key) => [key, chosenFor(key, fleet)]));
    const moved = keys.filter((key) => after.get(key) !== before.get(key));
    expect(moved.length).toBeGreaterThan(0);
    for (const key of moved) expect(after.get(key)).toBe(growing);
    before = after;
  }
});

function boundOf(instance: TestInstance, fleet: readonly TestInstance[], total: number): number {
  const sum = fleet.reduce((weights, { figures }) => weights + Math.max(figures.weightNow, 1e-6), 0);
  return Math.ceil((1.25 * total * Math.max(instance.figures.weightNow, 1e-6)) / sum);
}

test('whoever is chosen has no more than ⌈1.25 × its share⌉ in flight then', () => {
  fc.assert(
    fc.property(anyFleet, fc.array(fc.string()), (fleet, affinities) => {
      for (const affinity of affinities) {
        const chosen = chosenFor(affinity, fleet) as TestInstance;
        chosen.figures.inFlight++;
        const total = fleet.reduce((sum, { figures }) => sum + figures.inFlight, 0);
        expect(chosen.figures.inFlight).toBeLessThanOrEqual(boundOf(chosen, fleet, total));
      }
    }),
  );
});

test('however hot a key is, requests that pile up are never over the bound on any instance', () => {
  const fleet = fleetOf(2, 3, 5, 1);
  const random = seededRandom(9);
  for (let total = 1; total <= 2000; total++) {
    const key = random() < 0.7 ? 'hot' : `session-${Math.floor(random() * 50)}`;
    const chosen = chosenFor(key, fleet) as TestInstance;
    chosen.figures.inFlight++;
    for (const one of fleet) expect(one.figures.inFlight).toBeLessThanOrEqual(boundOf(one, fleet, total));
  }
});

test('a key whose instance is full goes to the second in its own order, always the same', () => {
  const fleet = ['a', 'b', 'c', 'd'].map((id) => instanceOf(id, { inFlight: 2 }));
  const home = chosenFor('someone', fleet) as TestInstance;
  const second = chosenFor(
    'someone',
    fleet.filter((instance) => instance !== home),
  );
  home.figures.inFlight = 9;
  expect(chosenFor('someone', fleet)).toBe(second);
  home.figures.inFlight = 2;
  expect(chosenFor('someone', fleet)).toBe(home);
});
