import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Sketch } from './sketch.ts';
import { addSketch, addWritten, binOf, percentile, readSketch, writeSketch } from './sketch.ts';

function sketchOf(values: readonly number[]): Sketch {
  const sketch: Sketch = [];
  for (const value of values) addWritten(sketch, `${binOf(value)}:1`);
  return sketch;
}

const latencies = fc.array(fc.double({ min: 0.2, max: 3_600_000, noNaN: true }), { minLength: 1, maxLength: 200 });

test('a percentile is right to 5 %', () => {
  fc.assert(
    fc.property(latencies, fc.constantFrom(0.5, 0.95, 0.99, 1), (values, share) => {
      const sorted = values.toSorted((a, b) => a - b);
      const exact = sorted[Math.ceil(share * sorted.length) - 1]!;
      expect(Math.abs(percentile(sketchOf(values), share)! / exact - 1)).toBeLessThan(0.05);
    }),
  );
});

test('the sketches of two parts add up to the sketch of the whole, also when they were written down', () => {
  fc.assert(
    fc.property(latencies, latencies, (some, others) => {
      const sum = readSketch(writeSketch(sketchOf(some)));
      addSketch(sum, readSketch(writeSketch(sketchOf(others))));
      expect(writeSketch(sum)).toBe(writeSketch(sketchOf([...some, ...others])));
    }),
  );
});

test('of nothing there is no percentile', () => {
  expect(percentile(readSketch(''), 0.5)).toBe(null);
  expect(writeSketch([])).toBe('');
});

test('bins that no latency has cost nothing, whoever wrote them', () => {
  expect(readSketch('999999999999:5,3:2')).toEqual([0, 0, 0, 2]);
});
