import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../core/random.ts';
import type { Choice, Instance, Strategy } from '../model.ts';
import { anyFleet, choiceOf } from './fleet.suite.ts';
import { strategies } from './index.ts';

/** One request after another; which instances are away changes all the time. */
const anyStory = fc.array(fc.record({ away: fc.nat(4095), affinity: fc.string(), seed: fc.nat() }), { maxLength: 30 });

interface Scene {
  readonly choice: () => Choice;
  readonly candidates: readonly Instance[];
}

function* scenesOf(
  fleet: readonly Instance[],
  story: readonly { away: number; affinity: string; seed: number }[],
): Generator<Scene> {
  for (const { away, affinity, seed } of story) {
    const present = fleet.filter((_, index) => (away & (1 << index)) === 0);
    const candidates = present.length === 0 ? fleet : present;
    yield { candidates, choice: () => choiceOf(candidates, { needs: { affinity }, random: seededRandom(seed) }) };
  }
}

describe.each(Object.entries(strategies))('%s', (_, make: () => Strategy) => {
  test('it never chooses anything but a candidate', () => {
    fc.assert(
      fc.property(anyFleet, anyStory, (fleet, story) => {
        const strategy = make();
        for (const { candidates, choice } of scenesOf(fleet, story)) {
          const chosen = strategy.choose(choice());
          expect(candidates).toContain(chosen);
          strategy.took?.(chosen, choice());
        }
      }),
    );
  });

  test('asking a thousand times decides nothing', () => {
    fc.assert(
      fc.property(anyFleet, anyStory, (fleet, story) => {
        const asked = make();
        const told = make();
        for (const { choice } of scenesOf(fleet, story)) {
          const chosen = told.choose(choice());
          const answers = new Set(Array.from({ length: 1000 }, () => asked.choose(choice())));
          expect([...answers]).toEqual([chosen]);
          asked.took?.(chosen, choice());
          told.took?.(chosen, choice());
        }
      }),
      { numRuns: 20 },
    );
  });

  test('two models that use it do not meet', () => {
    fc.assert(
      fc.property(anyFleet, anyStory, (fleet, story) => {
        const alone = make();
        const beside = make();
        const other = make();
        for (const { choice } of scenesOf(fleet, story)) {
          const chosen = beside.choose(choice());
          beside.took?.(chosen, choice());
          other.took?.(other.choose(choice()), choice());
          expect(alone.choose(choice())).toBe(chosen);
          alone.took?.(chosen, choice());
        }
      }),
    );
  });
});
