import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Price, Usage } from './usage.ts';
import { priceOf, unknownUsage } from './usage.ts';

const price: Price = { input: 3, output: 15, cachedInput: 0.3 };

function counts(input: number | null, output: number | null, cached: number | null = null): Usage {
  return { ...unknownUsage, inputTokens: input, outputTokens: output, cachedInputTokens: cached };
}

test.each([
  ['both are charged per million', counts(1_000_000, 1_000_000), price, 18],
  ['cached input has its own price', counts(1_000_000, 0, 1_000_000), price, 0.3],
  ['part of the input was cached', counts(1_000_000, 0, 500_000), price, 1.65],
  [
    'cached input costs as other input where it has no price',
    counts(1_000_000, 0, 400_000),
    { input: 3, output: 15 },
    3,
  ],
  ['more cached than there was counts as all', counts(1_000_000, 0, 5_000_000), price, 0.3],
  ['nothing used of a known price costs nothing', counts(0, 0), price, 0],
  ['what is free costs nothing', counts(7, 9), { input: 0, output: 0 }, 0],
])('%s', (_what, usage, at, usd) => {
  expect(priceOf(usage, at)).toBeCloseTo(usd, 12);
});

test.each([
  ['the price', counts(10, 10), null],
  ['the input', counts(null, 10), price],
  ['the output', counts(10, null), price],
  ['everything', unknownUsage, null],
])('where %s is unknown the cost is unknown, which is not 0', (_what, usage, at) => {
  expect(priceOf(usage, at)).toBe(null);
});

test('a cost is never negative and never more than that of all tokens uncached', () => {
  const tokens = fc.nat(10_000_000);
  const usd = fc.double({ min: 0, max: 1000, noNaN: true });
  fc.assert(
    fc.property(fc.tuple(tokens, tokens), fc.option(tokens), usd, usd, ([input, output], cached, ...prices) => {
      const [perInput, perOutput] = prices;
      const full = { input: perInput, output: perOutput };
      const cost = priceOf(counts(input, output, cached), { ...full, cachedInput: perInput / 10 }) ?? -1;
      expect(cost).toBeGreaterThanOrEqual(0);
      expect(cost).toBeLessThanOrEqual((priceOf(counts(input, output), full) ?? 0) + 1e-9);
    }),
  );
});
