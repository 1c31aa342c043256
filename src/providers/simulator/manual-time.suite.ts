import type { Clock } from '../../core/clock.ts';
import type { Wait } from './playback.ts';

interface Waiting {
  readonly at: number;
  readonly wakeUp: () => void;
}

/** Time that only passes when it is told to. */
export class ManualTime implements Clock {
  #at = 0;
  #waiting: Waiting[] = [];

  now(): number {
    return 1_790_000_000_000 + this.#at;
  }

  monotonic(): number {
    return this.#at;
  }

  readonly wait: Wait = (ms, wakeUp) => {
    const waiting = { at: this.#at + ms, wakeUp };
    this.#waiting.push(waiting);
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== waiting);
    };
  };

  /** How many are waiting for time to pass. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Lets `ms` pass, and wakes up everyone who is due until then, in order. */
  pass(ms: number): void {
    const until = this.#at + ms;
    for (;;) {
      const next = this.#waiting.toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > until) break;
      this.#waiting = this.#waiting.filter((other) => other !== next);
      this.#at = next.at;
      next.wakeUp();
    }
    this.#at = until;
  }
}
