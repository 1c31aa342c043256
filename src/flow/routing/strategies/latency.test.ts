import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/random.ts';
import { choiceOf, countsOf, instanceOf, isLikely, take } from './fleet.suite.ts';
import type { TestInstance } from './fleet.suite.ts';
import { latency } from './latency.ts';

type Row = [string, Record<string, Parameters<typeof instanceOf>[1]>, string];

const rows: Row[] = [
  ['the faster of two', { a: { ttft: 900 }, b: { ttft: 300 } }, 'b'],
  [
    'the slower one, once the faster has a queue',
    { a: { ttft: 900, inFlight: 1 }, b: { ttft: 300, inFlight: 6 } },
    'a',
  ],
  ['of two equally fast the one with fewer in flight', { a: { ttft: 300, inFlight: 1 }, b: { ttft: 300 } }, 'b'],
  ['of two the one whose weight bears it', { a: { ttft: 300 }, b: { ttft: 500, weight: 2 } }, 'b'],
  ['one that was never measured before all others', { a: { ttft: 1 }, b: {}, c: { ttft: 1 } }, 'b'],
  ['not a second request to it before its first answer', { a: { ttft: 9000 }, b: { inFlight: 1 } }, 'a'],
  ['while that is awaited, requests in flight decide', { a: { ttft: 1, inFlight: 2 }, b: { inFlight: 1 } }, 'b'],
  ['an average that has decayed to nothing still has a queue', { a: { ttft: 0, inFlight: 9 }, b: { ttft: 5 } }, 'b'],
  ['the only one', { a: { ttft: 300, inFlight: 9 } }, 'a'],
];

test.each(rows)('it chooses %s', (_, given, id) => {
  const fleet = Object.entries(given).map(([name, facts]) => instanceOf(name, facts));
  for (let seed = 0; seed < 20; seed++) {
    expect(latency().choose(choiceOf(fleet, { random: seededRandom(seed) })).id).toBe(id);
  }
});

test('a request that does not stream is decided by whole answers alone', () => {
  const fleet = [instanceOf('a', { ttft: 100, whole: 9000 }), instanceOf('b', { ttft: 300, whole: 2000 })];
  const chosen = (kind: 'stream' | 'answer'): string => latency().choose(choiceOf(fleet, { needs: { kind } })).id;
  expect([chosen('stream'), chosen('answer')]).toEqual(['a', 'b']);
});

test('any two are compared with each other, equally often and never one with itself', () => {
  const fleet = [100, 200, 300, 400].map((ttft) => instanceOf(`${ttft}`, { ttft }));
  const counts = countsOf(latency(), choiceOf(fleet), 12_000);
  // Of 6 pairs the fastest wins 3, the next 2, the next 1, and the slowest none.
  for (const [index, wins] of [3, 2, 1, 0].entries()) {
    expect(counts.get(fleet[index]!)).toSatisfy((n: number) => isLikely(n, 12_000, wins / 6));
  }
});

test('of instances that are equally fast and idle none is preferred', () => {
  for (const ttft of [null, 300]) {
    const fleet = ['a', 'b', 'c', 'd', 'e'].map((id) => instanceOf(id, { ttft }));
    for (const count of countsOf(latency(), choiceOf(fleet), 10_000).values()) {
      expect(count).toSatisfy((n: number) => isLikely(n, 10_000, 1 / 5));
    }
  }
});

test('under load the faster answers more, in proportion to its speed, and the slower is not left idle', () => {
  const fleet = [200, 400, 800].map((ttft) => instanceOf(`${ttft}`, { ttft }));
  const answered = new Map<TestInstance, number>(fleet.map((instance) => [instance, 0]));
  const random = seededRandom(3);
  const under: { instance: TestInstance; until: number }[] = [];
  for (let now = 0; now < 200_000; now += 10) {
    for (const done of under.filter(({ until }) => until <= now)) {
      under.splice(under.indexOf(done), 1);
      done.instance.figures.inFlight--;
    }
    const chosen = take(latency(), choiceOf(fleet, { now, random }));
    chosen.figures.inFlight++;
    answered.set(chosen, (answered.get(chosen) ?? 0) + 1);
    under.push({ instance: chosen, until: now + (chosen.figures.ttft ?? 0) });
  }
  const [fast, middle, slow] = fleet.map((instance) => answered.get(instance) ?? 0) as [number, number, number];
  expect(fast / middle).toBeGreaterThan(1.5);
  expect(middle / slow).toBeGreaterThan(1.5);
  expect(slow).toBeGreaterThan(500);
});
