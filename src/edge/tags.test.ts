import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tagsOf } from './tags.ts';

test.each([
  [
    { team: 'red', shift: 2, isTest: true },
    { team: 'red', shift: '2', isTest: 'true' },
  ],
  [{ nested: { a: 1 }, list: [1], nothing: null, '': 'x' }, null],
  ['text', null],
  [null, null],
  [undefined, null],
  [['a'], null],
])('%j is kept as %j', (metadata, tags) => {
  expect(tagsOf(metadata)).toEqual(tags);
});

test('whatever a caller notes, the log holds a bounded part of it', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ maxLength: 100 }), fc.string({ maxLength: 700 })), (metadata) => {
      const tags = Object.entries(tagsOf(metadata) ?? {});
      expect(tags.length).toBeLessThanOrEqual(16);
      for (const [name, value] of tags) {
        expect(name.length).toBeLessThanOrEqual(64);
        expect(value.length).toBeLessThanOrEqual(512);
      }
    }),
  );
});
