import { expect, test } from 'vitest';
import { readConfig } from './load.ts';
import { sectionsWithoutEffect } from './notes.ts';

/** One text for each section, that sets it. */
const texts: Record<(typeof sectionsWithoutEffect)[number], string> = {
  'redis.url': 'redis: { url: "redis://127.0.0.1" }',
  cache: 'cache: { ttl: 1 }',
};

test.each(sectionsWithoutEffect)('%s is accepted, and named as without effect where it is set', (section) => {
  const { notes } = readConfig({ name: 'f', text: texts[section] }, {});
  expect(notes).toEqual([`${section} is set, and has no effect in this version.`]);
});

test('what is not set, or empty, is not named', () => {
  expect(readConfig({ name: 'f', text: 'redis: { url: "" }\nschedule:\n' }, {}).notes).toEqual([]);
});

test('a fallback that is no model is named, with the nearest, and keeps nothing from working', () => {
  const text = 'models: { fast: { fallbacks: [slwo, slow] }, slow: { fallbacks: { contextLength: [long] } } }';
  expect(readConfig({ name: 'f', text }, {}).notes).toEqual([
    'models.fast.fallbacks names "slwo", and there is no such model. Did you mean "slow"?',
    'models.slow.fallbacks names "long", and there is no such model.',
  ]);
});
