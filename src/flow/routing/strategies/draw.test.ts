import { expect, test } from 'vitest';
import { draw, weightOf } from './draw.ts';
import { instanceOf } from './fleet.suite.ts';

function drawn(shares: readonly number[], number: number): string | undefined {
  const fleet = shares.map((left, index) => instanceOf(`${index}`, { left }));
  return draw(
    fleet,
    () => number,
    (one) => one.figures.headroom(0),
  )?.id;
}

test.each([
  [[0, 0.5, 0, 0.5, 0], 0, '1'],
  [[0, 0.5, 0, 0.5, 0], 0.5, '3'],
  [[0, 0.5, 0, 0.5, 0], 1 - 2 ** -53, '3'],
  [[0.1, 0.2, 0.3], 1 - 2 ** -53, '2'], // Here 0.1 + 0.2 + 0.3 − 0.1 − 0.2 − 0.3 is not under 0.
  [[0, 0], 0, undefined],
  [[], 0, undefined],
])('of shares %j the number %f draws %s', (shares, number, id) => {
  expect(drawn(shares, number)).toBe(id);
});

test('an instance that comes back with no weight at all still has some', () => {
  const instance = instanceOf('back');
  instance.figures.weightNow = 0;
  expect(weightOf(instance, 0)).toBeGreaterThan(0);
  instance.figures.weightNow = 3;
  expect(weightOf(instance, 0)).toBe(3);
});
