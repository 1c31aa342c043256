/** How much of a processor reads may have, whoever goes on asking. */
export interface PaceRules {
  /** The share of the time that goes into reads in the long run, 0 to 1. */
  readonly share: number;
  /** How much work is free after a rest, in ms: whoever looks now and then never waits. */
  readonly burstMs: number;
  /** What one read counts at least and at most, in ms: an answer costs others something, too, and a long one is no fault of the next. */
  readonly least: number;
  readonly most: number;
  /** How long anybody waits at most, in ms. */
  readonly longestMs: number;
}

export const readingPace: PaceRules = { share: 0.25, burstMs: 100, least: 4, most: 15, longestMs: 1000 };

/**
 * Lets reads rest in between, in proportion to the work they were, so that asking for them in a loop takes no more from
 * answers than a share.
 */
export class Pace {
  readonly #rules: PaceRules;
  readonly #now: () => number;
  readonly #rest: (ms: number) => Promise<void>;
  /** Work that may be done at once, in ms; less than nothing where there was too much. */
  #room: number;
  #at: number;

  /** @param now On the monotonic clock, in ms. @param rest Resolves after so many ms. */
  constructor(rules: PaceRules, now: () => number, rest: (ms: number) => Promise<void>) {
    this.#rules = rules;
    this.#now = now;
    this.#rest = rest;
    this.#room = rules.burstMs;
    this.#at = now();
  }

  /** Does `work` once it may begin. */
  async during<T>(work: () => T | Promise<T>): Promise<T> {
    const { share, longestMs, least, most } = this.#rules;
    this.#refill();
    if (this.#room < 0) await this.#rest(Math.min(-this.#room / share, longestMs));
    const startedAt = this.#now();
    try {
      return await work();
    } finally {
      this.#refill();
      const worth = Math.min(Math.max(this.#now() - startedAt, least), most);
      this.#room = Math.max(this.#room - worth, -longestMs * share);
    }
  }

  #refill(): void {
    const now = this.#now();
    this.#room = Math.min(this.#room + (now - this.#at) * this.#rules.share, this.#rules.burstMs);
    this.#at = now;
  }
}
