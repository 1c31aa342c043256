import { expect, test } from 'vitest';
import { Places } from './places.ts';

const contents = (places: Places<{ n: number }>): number[] => places.values().map(({ n }) => n);

test('a place holds what was put there last, until it is left', () => {
  const places = new Places<{ n: number }>();
  places.set('a', { n: 1 });
  places.set('b', { n: 2 });
  places.set('a', { n: 3 });
  expect([places.get('a')?.n, places.has('a'), contents(places)]).toEqual([3, true, [2, 3]]);
  places.delete('a');
  places.delete('never there');
  expect([places.get('a'), places.has('a'), contents(places)]).toEqual([undefined, false, [2]]);
});

test('much that comes and goes leaves the rest in its place', () => {
  const places = new Places<{ n: number }>();
  places.set('stays', { n: -1 });
  for (let n = 0; n < 10_000; n++) {
    places.set(String(n), { n });
    if (n >= 32) places.delete(String(n - 32));
  }
  expect(contents(places)).toEqual([-1, ...Array.from({ length: 32 }, (_, i) => 9968 + i)]);
});
