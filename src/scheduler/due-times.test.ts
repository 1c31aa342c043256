import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DueTimes } from './due-times.ts';

interface Thing {
  nextDue: number | null;
  isGone: boolean;
}

type Step = ['add', number | null] | ['move', number, number | null] | ['remove', number];

const time = fc.option(fc.integer({ min: 0, max: 50 }), { nil: null });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(fc.constant('add' as const), time),
  fc.tuple(fc.constant('move' as const), fc.nat(), time),
  fc.tuple(fc.constant('remove' as const), fc.nat()),
);

test('what is due first is found, whatever was added, moved and removed before', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const things: Thing[] = [];
      const times = new DueTimes<Thing>(({ isGone }) => !isGone);
      for (const [what, ...given] of steps) {
        if (what === 'add') {
          things.push({ nextDue: given[0] ?? null, isGone: false });
          times.add(things.at(-1)!, things.length);
        } else if (things.length > 0) {
          const thing = things[given[0]! % things.length]!;
          if (what === 'remove') thing.isGone = true;
          else {
            thing.nextDue = given[1] ?? null;
            times.add(thing, things.length);
          }
        }
        const dues = things.flatMap(({ nextDue, isGone }) => (nextDue === null || isGone ? [] : [nextDue]));
        expect(times.first()?.nextDue ?? null).toBe(dues.length === 0 ? null : Math.min(...dues));
      }
      const soon = things.filter(({ nextDue, isGone }) => nextDue !== null && nextDue <= 25 && !isGone);
      const later = things.filter(({ nextDue, isGone }) => nextDue !== null && nextDue > 25 && !isGone);
      const taken = [...times.take(25)];
      expect(new Set(taken)).toEqual(new Set(soon));
      expect(taken.map(({ nextDue }) => nextDue)).toEqual(
        taken.map(({ nextDue }) => nextDue).toSorted((a, b) => a! - b!),
      );
      expect(times.first()?.nextDue ?? null).toBe(
        later.length === 0 ? null : Math.min(...later.map((each) => each.nextDue!)),
      );
    }),
  );
});
