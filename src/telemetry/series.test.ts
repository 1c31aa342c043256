import fc from 'fast-check';
import { Counter, Histogram, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { CounterFamily, HistogramFamily, SeriesMap } from './series.ts';

const bounds = [0.1, 1, 2.5];

test('a histogram reads to the letter as prom-client’s own, whatever it observes', async () => {
  const value = fc.oneof(fc.constantFrom(0, ...bounds), fc.double({ min: 0, max: 5, noNaN: true }));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom('a', 'b "quoted"\n'), value)), async (observed) => {
      const [ours, theirs] = [new Registry(), new Registry()];
      const family = new HistogramFamily(ours, { name: 'seconds', help: 'Time.', labelNames: ['of'], bounds });
      const series = new SeriesMap((of) => family.series({ of }));
      const peer = new Histogram({
        name: 'seconds',
        help: 'Time.',
        labelNames: ['of'],
        buckets: bounds,
        registers: [theirs],
      });
      for (const [of, seconds] of observed) {
        series.get(of).observe(seconds);
        peer.observe({ of }, seconds);
      }
      expect(await ours.metrics()).toBe(await theirs.metrics());
    }),
  );
});

test('a counter reads as prom-client’s own', async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const family = new CounterFamily(ours, { name: 'things_total', help: 'Things.', labelNames: ['of', 'in'] });
  const peer = new Counter({ name: 'things_total', help: 'Things.', labelNames: ['of', 'in'], registers: [theirs] });
  const series = new SeriesMap((of, where) => family.series({ of, in: where }));
  for (const [of, where, amount] of [
    ['a', 'x', 1],
    ['a', 'y', 0.25],
    ['b', 'x', 3],
    ['a', 'x', 2],
  ] as const) {
    series.get(of, where).add(amount);
    peer.inc({ of, in: where }, amount);
  }
  expect(await ours.metrics()).toBe(await theirs.metrics());
});

test('a family without a series shows its name', async () => {
  const registry = new Registry();
  expect(new CounterFamily(registry, { name: 'things_total', help: 'Things.', labelNames: [] })).toBeDefined();
  expect(await registry.metrics()).toBe('# HELP things_total Things.\n# TYPE things_total counter\n');
});
