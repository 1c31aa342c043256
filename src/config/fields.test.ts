import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cronProblem } from '../core/schedule.ts';
import { parseSize } from './fields.ts';
import { formatPath } from './places.ts';
import { typedValue } from './tree.ts';

test.each<[string, number | undefined]>([
  ['0', 0],
  ['4096', 4096],
  ['1B', 1],
  ['64kB', 64_000],
  ['64KB', 64_000],
  ['64KiB', 65_536],
  ['10 MiB', 10_485_760],
  ['1GB', 1_000_000_000],
  ['1GiB', 1_073_741_824],
  ['', undefined],
  ['1.5MiB', undefined],
  ['-1', undefined],
  ['10M', undefined],
  ['10mib', undefined],
  ['1TiB', undefined],
  ['MiB', undefined],
  ['1e3', undefined],
])('the size %j is %j bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(['* * * * *', '0 3 * * 0', '*/15 8-18 * * MON-FRI', '0 0 29 2 *', '0 0 31 * *', '@daily', ' 0 0 1 1 * '])(
  '%j fires one day',
  (expression) => {
    expect(cronProblem(expression)).toBeUndefined();
  },
);

test.each(['0 0 30 2 *', '0 0 31 4,6,9,11 *', '0 0 31 feb *'])('%j never fires', (expression) => {
  expect(cronProblem(expression)).toMatch(
    /^expected a cron that fires; this one never does \("0 0 L \S+ \*" does, on the month’s last day\)$/,
  );
});

test.each([
  '',
  '* * * *',
  '* * * * * * *',
  '60 * * * *',
  '0 24 * * *',
  '0 0 0 * *',
  'a b c d e',
  '@often',
  '*/0 * * * *',
])('%j is no cron', (expression) => {
  expect(cronProblem(expression)).toMatch(/^expected /);
});

test('whatever is written as a cron is answered, not thrown', () => {
  const field = fc.constantFrom(
    '*',
    '0',
    '59',
    '60',
    '*/5',
    '1-5',
    '5-1',
    'L',
    'W',
    '#',
    '1#2',
    'MON',
    '?',
    ',',
    '/',
    '-',
  );
  const cron = fc.oneof(
    fc.string(),
    fc.array(field, { maxLength: 7 }).map((fields) => fields.join(' ')),
  );
  fc.assert(
    fc.property(cron, (expression) => {
      expect(['string', 'undefined']).toContain(typeof cronProblem(expression));
    }),
  );
});

test.each<[string, unknown]>([
  ['8000', 8000],
  ['-1.5e3', -1500],
  ['true', true],
  ['false', false],
  ['', undefined],
  ['0x10', undefined],
  ['010', undefined],
  ['1 ', undefined],
  ['Infinity', undefined],
  ['yes', undefined],
])('the text %j spells %j', (text, value) => {
  expect(typedValue(text)).toBe(value);
});

test('a path reads as in JavaScript', () => {
  expect(formatPath(['models', 'fast', 'instances', 1, 'weight'])).toBe('models.fast.instances[1].weight');
  expect(formatPath(['prices', 'openai/gpt-5', 'input'])).toBe('prices["openai/gpt-5"].input');
  expect(formatPath([])).toBe('');
});
