import { expect, test } from 'vitest';
import { directivesOf } from './directives.ts';

const none = { noCache: false, noStore: false, maxAgeMs: Infinity, onlyIfCached: false };

test.each([
  [null, none],
  ['', none],
  ['no-cache', { ...none, noCache: true }],
  ['No-Store , no-cache', { ...none, noStore: true, noCache: true }],
  ['max-age=60', { ...none, maxAgeMs: 60_000 }],
  ['max-age="60",only-if-cached', { ...none, maxAgeMs: 60_000, onlyIfCached: true }],
  ['max-age=, max-age=-1, max-age=x, s-maxage=5, no-transform, private="no-store"', none],
  [`${'x,'.repeat(100_000)}no-store`, none],
])('%s', (header, directives) => {
  expect(directivesOf(header)).toEqual(directives);
});
