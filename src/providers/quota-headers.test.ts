import { expect, test } from 'vitest';
import { quotaOf } from './quota-headers.ts';

const now = Date.UTC(2026, 10, 22);

test.each([
  ['6m0s', 360_000],
  ['17ms', 17],
  ['1.5s', 1500],
  ['1h2m3s', 3_723_000],
  ['20', 20_000],
  [String(now + 5000), 5000],
  [String(Math.floor(now / 1000) + 7), 7000],
  ['soon', null],
  ['', null],
])('a reset of "%s" is in %s ms', (reset, resetMs) => {
  const headers = {
    'x-ratelimit-limit-requests': '60',
    'x-ratelimit-remaining-requests': '59',
    'x-ratelimit-reset-requests': reset,
  };
  expect(quotaOf(headers, now)?.requests).toEqual({ limit: 60, remaining: 59, resetMs });
});

test('what an upstream does not say is not known', () => {
  expect(quotaOf({}, now)).toBeNull();
  expect(quotaOf({ 'x-ratelimit-remaining-tokens': '5' }, now)).toBeNull();
  expect(quotaOf({ 'x-ratelimit-remaining-tokens': '-5', 'x-ratelimit-limit-tokens': 'many' }, now)).toBeNull();
});

test('bare headers count requests', () => {
  expect(quotaOf({ 'x-ratelimit-limit': '20', 'x-ratelimit-remaining': '0' }, now)).toEqual({
    requests: { limit: 20, remaining: 0, resetMs: null },
    tokens: null,
  });
});
