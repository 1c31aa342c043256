import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRandom, systemRandom } from './random.ts';

const draws = (seed: number): number[] => {
  const random = seededRandom(seed);
  return Array.from({ length: 20 }, () => random());
};

test('the same seed gives the same numbers, in [0, 1)', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      expect(draws(seed)).toStrictEqual(draws(seed));
      expect(draws(seed).every((number) => number >= 0 && number < 1)).toBe(true);
    }),
  );
});

test('different seeds give different numbers', () => {
  expect(draws(1)).not.toStrictEqual(draws(2));
});

test('the numbers of one seed are spread evenly', () => {
  const random = seededRandom(7);
  const bins = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 10_000; i++) bins[Math.floor(random() * 10)]! += 1;
  expect(Math.min(...bins)).toBeGreaterThan(850);
  expect(Math.max(...bins)).toBeLessThan(1150);
});

test('the system’s numbers are in [0, 1) as well', () => {
  for (let i = 0; i < 100; i++) expect(systemRandom()).toBeLessThan(1);
});
