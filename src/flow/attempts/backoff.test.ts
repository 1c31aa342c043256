import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { seededRandom } from '../../core/random.ts';
import { nextPauseMs, pause } from './backoff.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the next pause', () => {
  test.each([
    [0, 0, 50],
    [0, 0.5, 100],
    [50, 0.5, 100],
    [100, 0.5, 175],
    [1000, 0, 50],
    [1000, 0.5, 1025],
  ])('after one of %i ms, with chance at %d, is %d ms', (previous, chance, ms) => {
    expect(nextPauseMs(previous, () => chance)).toBe(ms);
  });

  test('is between 50 ms and three times the one before, and never more than two seconds', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 2000, noNaN: true }), fc.integer(), (previous, seed) => {
        const ms = nextPauseMs(previous, seededRandom(seed));
        expect(ms).toBeGreaterThanOrEqual(50);
        expect(ms).toBeLessThanOrEqual(Math.min(2000, Math.max(150, previous * 3)));
      }),
    );
  });

  test('sends those who failed together back at different times', () => {
    const pauses = Array.from({ length: 100 }, (_, seed) => Math.round(nextPauseMs(500, seededRandom(seed))));
    expect(new Set(pauses).size).toBeGreaterThan(80);
  });
});

describe('a pause', () => {
  /** Whether it is over, looked at after `ms`. */
  async function isOverAfter(ms: number, paused: Promise<void>): Promise<boolean> {
    let isOver = false;
    void paused.then(() => (isOver = true));
    await vi.advanceTimersByTimeAsync(ms);
    return isOver;
  }

  test('is as long as it is said', async () => {
    const paused = pause(100, new AbortController().signal);
    expect(await isOverAfter(99, paused)).toBe(false);
    expect(await isOverAfter(1, paused)).toBe(true);
  });

  test('ends when the caller leaves, and leaves nothing behind', async () => {
    const controller = new AbortController();
    const paused = pause(100, controller.signal);
    controller.abort();
    expect(await isOverAfter(0, paused)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('does not begin where the caller has left', async () => {
    expect(await isOverAfter(0, pause(100, AbortSignal.abort()))).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });
});
