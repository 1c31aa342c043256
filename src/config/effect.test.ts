import { expect, test } from 'vitest';
import { sectionsWithoutEffect } from './effect.ts';
import { readConfig } from './load.ts';

/** One text for each section, that sets it. */
const texts: Record<(typeof sectionsWithoutEffect)[number], string> = {
  'redis.url': 'redis: { url: "redis://127.0.0.1" }',
  'models.*.fallbacks': 'models: { a: { fallbacks: [b] }, c: { fallbacks: [] }, d: {} }',
  cache: 'cache: { ttl: 1 }',
  schedule: 'schedule: { timezone: UTC }',
};

test.each(sectionsWithoutEffect)('%s is accepted, and named as without effect where it is set', (section) => {
  const { withoutEffect } = readConfig({ name: 'f', text: texts[section] }, {});
  expect(withoutEffect).toEqual([section.replace('*', 'a')]);
});

test('what is not set, or empty, is not named', () => {
  expect(readConfig({ name: 'f', text: 'redis: { url: "" }\nschedule:\n' }, {}).withoutEffect).toEqual([]);
});
