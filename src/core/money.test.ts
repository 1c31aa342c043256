import fc from 'fast-check';
import { expect, test } from 'vitest';
import { maxAnswerUsd, picosOf, picosOfBudget, picosPerUsd, usdOf, usdText } from './money.ts';

test('every whole number of picodollars that an answer may cost survives as a number of dollars', () => {
  const picos = fc.integer({ min: 0, max: maxAnswerUsd * picosPerUsd });
  fc.assert(
    fc.property(picos, (cost) => {
      expect(picosOf(usdOf(cost))).toBe(cost);
    }),
    { numRuns: 10_000 },
  );
});

test.each([
  [0n, '0'],
  [1n, '0.000000000001'],
  [12_500_000_000_000n, '12.5'],
  [-3_000_000_000_000n, '-3'],
  [123_456_789_012_345_678_901n, '123456789.012345678901'],
])('%i picodollars are written with all their digits', (picos, text) => {
  expect(usdText(picos)).toBe(text);
});

test.each([
  [0.1, 100_000_000_000n],
  [19.99, 19_990_000_000_000n],
  [0.000_001, 1_000_000n],
  [1_000_000, 1_000_000_000_000_000_000n],
])('a budget of %f dollars is exactly that', (usd, picos) => {
  expect(picosOfBudget(usd)).toBe(picos);
});
