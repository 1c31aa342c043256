import { describe, expect, test } from 'vitest';
import { Pace, readingPace } from './pace.ts';

/** A clock that work and rests move on. */
function clocked() {
  let now = 0;
  let rested = 0;
  const pass = (ms: number): void => {
    now += ms;
  };
  const pace = new Pace(
    readingPace,
    () => now,
    async (ms) => {
      rested += ms;
      pass(ms);
    },
  );
  return { pace, pass, now: () => now, rested: () => rested };
}

describe('reads', () => {
  test('wait for nothing where somebody looks now and then', async () => {
    const { pace, pass, rested } = clocked();
    for (let look = 0; look < 50; look++) {
      // A dashboard: six figures every two seconds.
      for (let i = 0; i < 6; i++) await pace.during(() => pass(12));
      pass(2000);
    }
    expect(rested()).toBe(0);
  });

  test('take a quarter of the time where they are asked for in a loop, and each waits less than 100 ms', async () => {
    for (const ms of [4, 12, 15]) {
      const { pace, pass, now, rested } = clocked();
      let worked = 0;
      while (now() < 60_000) {
        const before = rested();
        await pace.during(() => pass(ms));
        worked += ms;
        expect(rested() - before).toBeLessThan(100);
      }
      expect(worked / now()).toBeGreaterThan(0.24);
      expect(worked / now()).toBeLessThan(0.26);
    }
  });

  test('that cost nothing are no more than 63 in a second', async () => {
    const { pace, now } = clocked();
    for (let i = 0; i < 3780; i++) await pace.during(() => undefined);
    expect(now()).toBeGreaterThan(59_000);
  });

  test('do not wait long for a long one that somebody else asked for', async () => {
    const { pace, pass, rested } = clocked();
    await pace.during(() => pass(5000));
    for (let i = 0; i < 20; i++) await pace.during(() => pass(5000));
    expect(rested()).toBeLessThan(21 * 60);
  });

  test('that fail count as others do, and fail', async () => {
    const { pace, pass, rested } = clocked();
    for (let i = 0; i < 20; i++) {
      const failing = pace.during(() => {
        pass(15);
        throw new Error('no');
      });
      await expect(failing).rejects.toThrow('no');
    }
    expect(rested()).toBeGreaterThan(0);
  });
});
