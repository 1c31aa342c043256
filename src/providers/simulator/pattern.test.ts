import fc from 'fast-check';
import { expect, test } from 'vitest';
import { matching } from './pattern.ts';

const patterns = [
  '',
  'cat',
  '^[A-Z]{2}[0-9]{4}$',
  '^(?:red|green)-\\d+$',
  '^\\w+@\\w+\\.(com|org)$',
  '^[^aA]{3}$',
  '^\\+?[1-9]\\d{1,14}$',
  '^[\\u0621-\\u064a]+$',
  '^\\p{Script=Arabic}{2}$',
  '^(a|b(c|d)?)*x$',
  '^.{3,5}?$',
  '^(?<year>\\d{4})-(0[1-9]|1[0-2])$',
  '\\[x\\]',
  '^[丙]$',
];

test.each(patterns)('a text is found for the pattern %s', (pattern) => {
  expect(matching(pattern, 0, 100)).toMatch(new RegExp(pattern, 'u'));
});

const lengths: [pattern: string, min: number, max: number, length: number | null][] = [
  ['^[a-z]+$', 5, 9, 5],
  ['^[a-z]*$', 3, 3, 3],
  ['^x', 4, 4, 4],
  ['^[a-z]{2}$', 5, 9, null],
  ['^[a-z]{9}$', 0, 5, null],
];

test.each(lengths)('for %s of %i to %i characters the length is %j', (pattern, min, max, length) => {
  expect(matching(pattern, min, max)?.length ?? null).toBe(length);
});

const hopeless = [
  ['is no expression', '('],
  ['contradicts itself', '(?=b)a'],
  ['needs what look-ahead forbids', '^(?!a)\\w$'],
  ['is too long', 'x'.repeat(501)],
  ['takes forever to fail', '^((a+)+)(?=b)c$'],
  ['is endless', '((((a{1000}){1000}){1000}){1000})b'],
];

test.each(hopeless)('for a pattern that %s there is no text rather than a wrong one', (_, pattern) => {
  expect(matching(pattern, 40, 600)).toBe(null);
});

test('whatever is given as a pattern, what comes back matches it', () => {
  const pieces = fc.constantFrom(...Array.from('ab1(){}[]|^$*+?.\\-,:=!'), '(?:', '[a-', '{2}', '\\d', '\\p{L}');
  let found = 0;
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const text = matching(parts.join(''), 0, 50);
      if (text === null) return true;
      found++;
      return new RegExp(parts.join(''), 'u').test(text);
    }),
    { numRuns: 300 },
  );
  expect(found).toBeGreaterThan(30);
});
