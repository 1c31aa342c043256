import { expect, test } from 'vitest';
import { readConfig } from './load.ts';

test('a fallback that is no model is named, with the nearest, and keeps nothing from working', () => {
  const text = 'models: { fast: { fallbacks: [slwo, slow] }, slow: { fallbacks: { contextLength: [long] } } }';
  expect(readConfig({ name: 'f', text }, {}).notes).toEqual([
    'models.fast.fallbacks names "slwo", and there is no such model. Did you mean "slow"?',
    'models.slow.fallbacks names "long", and there is no such model.',
  ]);
});
