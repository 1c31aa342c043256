import { expect, test } from 'vitest';
import type { JobRun } from '../core/jobs.ts';
import { ManualClock } from '../../test/support/clock.ts';
import { Leases } from './leases.ts';

const running = (id: string, beat: number): JobRun => ({ id, lease: { token: 1, beat, owner: 'somebody' } }) as JobRun;

test('the next lease ends 6.5 s after its beat was seen first, and sooner than that of whoever beat later', () => {
  const clock = new ManualClock(0);
  const leases = new Leases(clock);
  expect(leases.nextEnd()).toBe(Number.POSITIVE_INFINITY);
  const from = clock.monotonic();
  leases.ended([running('a', 1), running('b', 1)]);
  expect(leases.nextEnd() - from).toBe(6500);
  clock.advance(2000);
  leases.ended([running('a', 2), running('b', 1)]);
  expect(leases.nextEnd() - from).toBe(6500);
  clock.advance(4499);
  expect(leases.ended([running('a', 2), running('b', 1)])).toEqual([]);
  clock.advance(1);
  expect(leases.ended([running('a', 2), running('b', 1)])).toEqual([running('b', 1)]);
});

test('a lease that is over and could not be taken over doesn’t make anybody look again at once', () => {
  const clock = new ManualClock(0);
  const leases = new Leases(clock);
  const from = clock.monotonic();
  leases.ended([running('a', 1)]);
  clock.advance(1000);
  leases.ended([running('a', 1), running('b', 1)]);
  clock.advance(5500);
  leases.ended([running('a', 1), running('b', 1)]);
  expect(leases.nextEnd() - from).toBe(7500);
});
