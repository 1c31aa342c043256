import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/random.ts';
import { cost } from './cost.ts';
import { anyFleet, choiceOf, countsOf, instanceOf, isLikely } from './fleet.suite.ts';

const cheapInput = instanceOf('cheap input', { price: { input: 1, output: 10 } });
const cheapOutput = instanceOf('cheap output', { price: { input: 3, output: 2 } });
const unpriced = instanceOf('unpriced');
const free = instanceOf('free', { price: { input: 0, output: 0 }, inFlight: 50 });

test.each([
  ['a long prompt for a short answer', { inputTokens: 10_000, maxOutputTokens: 100 }, 'cheap input'],
  ['a short prompt for a long answer', { inputTokens: 100, maxOutputTokens: 4000 }, 'cheap output'],
  ['a prompt of 1,023, for the usual 256', { inputTokens: 1023, maxOutputTokens: null }, 'cheap output'],
  ['a prompt of 1,025, for the usual 256', { inputTokens: 1025, maxOutputTokens: null }, 'cheap input'],
  ['nothing at all for no answer', { inputTokens: 0, maxOutputTokens: 1 }, 'cheap output'],
])('%s goes where that is cheapest', (_, needs, id) => {
  expect(cost().choose(choiceOf([unpriced, cheapInput, cheapOutput], { needs })).id).toBe(id);
});

test('what is free comes first, however busy, and what has no price last', () => {
  expect(cost().choose(choiceOf([unpriced, cheapInput, free]))).toBe(free);
  const idle = instanceOf('idle and unpriced');
  const dear = instanceOf('dear', { price: { input: 1e6, output: 1e6 }, inFlight: 999 });
  expect(cost().choose(choiceOf([idle, dear]))).toBe(dear);
  expect(cost().choose(choiceOf([idle]))).toBe(idle);
});

test('of several that cost the same, or of which nobody knows, the least busy', () => {
  for (const price of [{ input: 1, output: 2 }, null]) {
    const fleet = [3, 1, 2].map((inFlight) => instanceOf(`${inFlight}`, { price, inFlight }));
    expect(cost().choose(choiceOf(fleet)).id).toBe('1');
  }
  const fleet = [1, 3].map((weight) => instanceOf(`${weight}`, { price: { input: 1, output: 2 }, weight }));
  const counts = countsOf(cost(), choiceOf(fleet), 10_000);
  expect(counts.get(fleet[1]!)).toSatisfy((n: number) => isLikely(n, 10_000, 3 / 4));
});

test('no candidate would have been cheaper', () => {
  fc.assert(
    fc.property(anyFleet, fc.nat(100_000), fc.option(fc.nat(8000)), fc.nat(), (fleet, input, output, seed) => {
      const usd = ({ price }: { price: { input: number; output: number } | null }): number =>
        price === null ? Number.POSITIVE_INFINITY : input * price.input + (output ?? 256) * price.output;
      const needs = { inputTokens: input, maxOutputTokens: output };
      const chosen = cost().choose(choiceOf(fleet, { needs, random: seededRandom(seed) }));
      expect(usd(chosen)).toBe(Math.min(...fleet.map(usd)));
    }),
  );
});
