import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SlidingWindow } from './window.ts';

describe('a sliding window', () => {
  test('counts what came within the last minute, and the second of which a part did as a whole', () => {
    const window = new SlidingWindow();
    window.add(1500, 8);
    window.add(59_000, 2);
    expect(window.used(60_000)).toBe(10);
    expect(window.used(61_999)).toBe(10);
    expect(window.used(62_000)).toBe(2);
    expect(window.used(119_999)).toBe(2);
    expect(window.used(120_000)).toBe(0);
    expect(window.used(500_000)).toBe(0);
  });

  test('takes over what another one counted, each in its second', () => {
    const [window, other] = [new SlidingWindow(), new SlidingWindow()];
    window.add(1500, 8);
    other.add(3200, 2);
    other.add(30_500, 4);
    window.addAll(other, 40_000);
    expect(window.used(61_999)).toBe(14);
    expect(window.used(62_000)).toBe(6);
    expect(window.used(64_000)).toBe(4);
    expect(window.used(91_000)).toBe(0);
  });

  test('says when it is empty: not before, and then it is', () => {
    const window = new SlidingWindow();
    expect(window.emptyMs(500)).toBe(0);
    window.add(1500, 8);
    window.add(3200, 1);
    expect(window.emptyMs(3200)).toBe(60_800);
    expect(window.emptyMs(40_000)).toBe(24_000);
    expect(window.used(63_999)).toBe(1);
    expect(window.emptyMs(64_000)).toBe(0);
    window.adjust(3200, 64_000, -1);
    expect(window.emptyMs(64_000)).toBe(0);
  });

  test('says when there is room: not before, and then it is there', () => {
    const moves = fc.array(fc.tuple(fc.integer({ min: 0, max: 90_000 }), fc.integer({ min: 1, max: 20 })), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(moves, fc.integer({ min: 1, max: 30 }), (steps, amount) => {
        const window = new SlidingWindow();
        let now = 0;
        for (const [pause, more] of steps) {
          now += pause;
          window.add(now, more);
        }
        const waitMs = window.waitMs(now, 30, amount);
        const justBefore = waitMs > 1 ? window.used(now + waitMs - 2) + amount : Infinity;
        expect(justBefore).toBeGreaterThan(30);
        expect(window.used(now + waitMs) + amount).toBeLessThanOrEqual(30 + 1e-6);
      }),
      { numRuns: 2000 },
    );
  });

  test('lets 60 a minute through where ten times as many ask, minute after minute', () => {
    const window = new SlidingWindow();
    const perMinute = [0, 0, 0, 0];
    for (let now = 0; now < 240_000; now += 100) {
      if (window.used(now) + 1 > 60 + 1e-9) continue;
      window.add(now, 1);
      const minute = Math.floor(now / 60_000);
      perMinute[minute] = (perMinute[minute] ?? 0) + 1;
    }
    for (const admitted of perMinute) expect(Math.abs(admitted - 60)).toBeLessThanOrEqual(1);
  });

  test('takes back what was not used, and never more than was there', () => {
    const window = new SlidingWindow();
    window.add(1000, 10);
    window.adjust(1000, 5000, -4);
    expect(window.used(5000)).toBe(6);
    window.adjust(1000, 5000, -100);
    expect(window.used(5000)).toBe(0);
    window.adjust(1000, 200_000, 50);
    expect(window.used(200_000)).toBe(0);
  });

  test('never fits what is more than the limit itself', () => {
    expect(new SlidingWindow().waitMs(0, 5, 6)).toBe(Infinity);
  });
});
