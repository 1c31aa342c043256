import type { Clock } from '../../src/core/clock.ts';

/** A clock that stands still until it is told otherwise. */
export class ManualClock implements Clock {
  #now: number;
  #monotonic = 0;

  /** @param now Wall time, in ms since the Unix epoch. */
  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  advance(ms: number): void {
    this.#now += ms;
    this.#monotonic += ms;
  }
}

/** One that goes as the timers do: with fake ones, as they are advanced. It can be moved on its own, too. */
export class TimersClock extends ManualClock {
  readonly #begunAt = performance.now();

  override now(): number {
    return super.now() + performance.now() - this.#begunAt;
  }

  override monotonic(): number {
    return super.monotonic() + performance.now() - this.#begunAt;
  }
}
