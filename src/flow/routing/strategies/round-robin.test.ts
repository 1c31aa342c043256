import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ScriptedProvider } from '../../../../test/support/scripted-provider.ts';
import type { Instance } from '../model.ts';
import { strategies } from './index.ts';
import { roundRobin } from './round-robin.ts';

const provider = new ScriptedProvider('p');

const instancesOf = (weights: readonly number[]): Instance[] =>
  weights.map((weight, i) => provider.instance({ id: `i${i}`, weight }));

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

function turns(instances: readonly Instance[], count: number, strategy = roundRobin()): string[] {
  return Array.from({ length: count }, () => strategy.choose(instances)?.id ?? 'none');
}

const countOf = (ids: readonly string[], id: string): number => ids.filter((other) => other === id).length;

const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 6 });

describe('round robin', () => {
  test('chooses each instance exactly as often as its weight, in every full cycle', () => {
    fc.assert(
      fc.property(weights, fc.nat(200), (given, offset) => {
        const strategy = roundRobin();
        const instances = instancesOf(given);
        turns(instances, offset, strategy);
        const cycle = turns(instances, sum(given), strategy);
        expect(instances.map(({ id }) => countOf(cycle, id))).toStrictEqual(given);
      }),
    );
  });

  test('begins each cycle anew: the second is the first again', () => {
    fc.assert(
      fc.property(weights, (given) => {
        const two = turns(instancesOf(given), 2 * sum(given));
        expect(two.slice(sum(given))).toStrictEqual(two.slice(0, sum(given)));
      }),
    );
  });

  test.each([[[2, 3, 5]], [[1, 1]], [[1, 1, 1]], [[1, 2]], [[7, 1]], [[5, 3, 2]]])(
    'is never more than one turn from the exact shares of %j',
    (given) => {
      const ids = turns(instancesOf(given), 10 * sum(given));
      for (let turn = 1; turn <= ids.length; turn++) {
        for (const [i, weight] of given.entries()) {
          const share = (turn * weight) / sum(given);
          expect(Math.abs(countOf(ids.slice(0, turn), `i${i}`) - share)).toBeLessThanOrEqual(1);
        }
      }
    },
  );

  test('spreads turns evenly rather than in runs', () => {
    expect(turns(instancesOf([5, 1, 1]), 7)).toStrictEqual(['i0', 'i0', 'i1', 'i0', 'i2', 'i0', 'i0']);
    expect(turns(instancesOf([1, 1, 1]), 6)).toStrictEqual(['i0', 'i1', 'i2', 'i0', 'i1', 'i2']);
  });

  test('chooses nobody where there is nobody', () => {
    expect(roundRobin().choose([])).toBe(undefined);
  });

  test('chooses among those who are there, and nobody else', () => {
    const here = fc.array(fc.subarray([0, 1, 2, 3]), { maxLength: 100 });
    fc.assert(
      fc.property(here, (presences) => {
        const strategy = roundRobin();
        const instances = instancesOf([1, 2, 3, 4]);
        for (const presence of presences) {
          const candidates = presence.map((i) => instances[i]!);
          const chosen = strategy.choose(candidates);
          expect(candidates.length === 0 ? chosen === undefined : candidates.includes(chosen!)).toBe(true);
        }
      }),
    );
  });

  test('lets nobody make up for the time it was away', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.integer({ min: 1, max: 500 }), (before, away) => {
        const strategy = roundRobin();
        const given = [2, 3, 5];
        const instances = instancesOf(given);
        turns(instances, before, strategy);
        turns(instances.slice(0, 2), away, strategy);
        const back = turns(instances, 10, strategy);
        expect(Math.abs(countOf(back, 'i2') - 5)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('passes over nobody who stays while others come and go', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 6, maxLength: 200 }), (isThere) => {
        const strategy = roundRobin();
        const [a, b, c] = instancesOf([1, 1, 1]) as [Instance, Instance, Instance];
        const ids = isThere.map((there) => strategy.choose(there ? [a, b, c] : [a, b])?.id ?? '');
        for (let turn = 0; turn + 6 <= ids.length; turn++) {
          const six = ids.slice(turn, turn + 6);
          expect(six.includes('i0') && six.includes('i1')).toBe(true);
        }
      }),
    );
  });

  test('knows an instance that replaces another of the same name as a new one', () => {
    const strategy = roundRobin();
    const [a] = instancesOf([1]) as [Instance];
    expect(strategy.choose([a])).toBe(a);
    const again = { ...a };
    expect(strategy.choose([again])).toBe(again);
  });
});

test('every strategy of the config is one of its own for each model', () => {
  for (const make of Object.values(strategies)) {
    const [a, b] = instancesOf([1, 1]) as [Instance, Instance];
    const [first, second] = [make(), make()];
    expect(first.choose([a, b])).toBe(second.choose([a, b]));
  }
});
