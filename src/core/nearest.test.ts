import { expect, test } from 'vitest';
import { didYouMean, nearest } from './nearest.ts';

const agents = ['assistant', 'translator', 'Summariser', 'fast', 'faster', 'مترجم'];

test.each([
  ['asistant', 'assistant'],
  ['assistnat', 'assistant'],
  ['ASSISTANT', 'assistant'],
  ['summarizer', 'Summariser'],
  ['fats', 'fast'],
  ['fastr', 'fast'],
  ['مترحم', 'مترجم'],
])('for "%s" the nearest name is "%s"', (name, wanted) => {
  expect(nearest(name, agents)).toBe(wanted);
});

test.each(['weather', 'x'.repeat(20), 'gpt-5-mini'])('for "%s" no name is near', (name) => {
  expect(nearest(name, agents)).toBe(undefined);
  expect(didYouMean(name, agents)).toBe('');
});

test('two neighbours that changed places are one slip, not two', () => {
  expect(nearest('abdc', ['abdcxx', 'abcd'])).toBe('abcd');
});

test('the first of two equally near names is taken', () => {
  expect(nearest('model-c', ['model-a', 'model-b'])).toBe('model-a');
});

test('nothing is near where nothing is known', () => {
  expect(nearest('assistant', [])).toBe(undefined);
});

test('a hint follows a sentence', () => {
  expect(`There is no agent.${didYouMean('fasst', agents)}`).toBe('There is no agent. Did you mean "fast"?');
});

test('a name of any length costs no more than its first 64 characters', () => {
  const known = Array.from({ length: 100 }, (_, i) => `${i}`.repeat(2000));
  const startedAt = performance.now();
  expect(nearest('n'.repeat(1_000_000), known)).toBe(undefined);
  expect(performance.now() - startedAt).toBeLessThan(1000);
});
