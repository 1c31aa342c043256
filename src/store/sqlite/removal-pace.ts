import { setTimeout as wait } from 'node:timers/promises';

/** How fast old rows go. */
export interface RemovalRules {
  /** In what time all that is old is to be gone, in ms, however much it is: so what came in an hour goes in less. */
  readonly goneInMs: number;
  /** How long from one transaction to the next at most, in ms. */
  readonly mostMs: number;
  /** How many times as long as a transaction took is rested after it, whatever is behind: others get to write. */
  readonly restPerWork: number;
  /** How long is waited at once, and in all, for others that are in the way; in ms. */
  readonly heldUpMs: { readonly atOnce: number; readonly inAll: number };
}

/** Beside answers: nobody waits for it. */
export const besideAnswers: RemovalRules = {
  goneInMs: 2_400_000,
  mostMs: 20,
  restPerWork: 6,
  heldUpMs: { atOnce: 500, inAll: 600_000 },
};

/** For a command that somebody waits for. */
export const asFastAsItGoes: RemovalRules = { ...besideAnswers, goneInMs: 0, mostMs: 0 };

export interface RemovalHelp {
  readonly isStopped: () => boolean;
  /** Whether somebody is in the way of it, so that it would do harm to go on. */
  readonly isHeldUp: () => boolean;
  /** On the monotonic clock, in ms. */
  readonly now?: () => number;
  /** Resolves after so many ms. */
  readonly rest?: (ms: number) => Promise<unknown>;
}

/** Lets small transactions follow each other at the rate that what is behind asks for. */
export class RemovalPace {
  readonly #rules: RemovalRules;
  readonly #isStopped: () => boolean;
  readonly #isHeldUp: () => boolean;
  readonly #now: () => number;
  readonly #rest: (ms: number) => Promise<unknown>;
  #everyMs = 0;
  /** When the next may begin. */
  #next = Number.NEGATIVE_INFINITY;
  #heldUpMs = 0;

  constructor(rules: RemovalRules, { isStopped, isHeldUp, now = () => performance.now(), rest = wait }: RemovalHelp) {
    this.#rules = rules;
    this.#isStopped = isStopped;
    this.#isHeldUp = isHeldUp;
    this.#now = now;
    this.#rest = rest;
  }

  get isStopped(): boolean {
    return this.#isStopped();
  }

  /** From here on so many transactions are to come. */
  expect(transactions: number): void {
    const { goneInMs, mostMs } = this.#rules;
    this.#everyMs = Math.min(mostMs, goneInMs / Math.max(transactions, 1));
  }

  /** Does `work`, which is one transaction, once it may begin. */
  async step<T>(work: () => T | Promise<T>): Promise<T> {
    await this.#turn();
    const startedAt = this.#now();
    const result = await work();
    const now = this.#now();
    const rested = now + this.#rules.restPerWork * (now - startedAt);
    // Of a turn that came late the next ones make up a little, so that timers that are inexact don't make it slower.
    this.#next = Math.max(rested, Math.max(this.#next, startedAt - this.#everyMs) + this.#everyMs);
    return result;
  }

  async #turn(): Promise<void> {
    const ms = this.#next - this.#now();
    if (ms > 0) await this.#rest(ms);
    const { atOnce, inAll } = this.#rules.heldUpMs;
    while (this.#heldUpMs < inAll && !this.#isStopped() && this.#isHeldUp()) {
      this.#heldUpMs += atOnce;
      await this.#rest(atOnce);
    }
  }
}
