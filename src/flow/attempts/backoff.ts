import type { Random } from '../../core/random.ts';

/** In ms. */
const shortest = 50;
const longest = 2000;

/**
 * The next pause before the same instance is asked again, by decorrelated jitter: somewhere between the shortest and
 * three times the one before, so that callers who failed together don't come back together.
 * @param previousMs The pause before this one; 0 for none.
 */
export function nextPauseMs(previousMs: number, random: Random): number {
  const top = Math.min(longest, Math.max(shortest, previousMs) * 3);
  return shortest + random() * (top - shortest);
}

/** Resolves after `ms`, or as soon as `signal` is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
