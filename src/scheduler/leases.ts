import type { Clock } from '../core/clock.ts';
import type { JobRun } from '../core/jobs.ts';

/** How long a run may show no sign of life before somebody else takes it over, in ms. */
const leaseMs = 6500;

interface Seen {
  readonly token: number;
  readonly beat: number;
  readonly at: number;
}

/**
 * Finds runs whose holder is gone: those that have shown no sign of life for as long as a lease lasts, by the monotonic
 * clock of whoever looks. No two wall clocks are ever compared, so that neither a jump of one nor a difference between
 * two ends a lease.
 */
export class Leases {
  readonly #clock: Clock;
  #seen = new Map<string, Seen>();
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Those of `running` whose lease is over. @param running All that run anywhere, as they are now. */
  ended(running: readonly JobRun[]): JobRun[] {
    const now = this.#clock.monotonic();
    const seen = new Map<string, Seen>();
    const ended: JobRun[] = [];
    for (const run of running) {
      const { token, beat } = run.lease;
      const before = this.#seen.get(run.id);
      const isSame = before !== undefined && before.token === token && before.beat === beat;
      const entry = isSame ? before : { token, beat, at: now };
      seen.set(run.id, entry);
      if (now - entry.at >= leaseMs) ended.push(run);
    }
    this.#seen = seen;
    this.#lookedAt = now;
    return ended;
  }

  /**
   * When the next lease ends of those that went on when it was looked, unless its holder shows a sign of life before; in ms
   * of the monotonic clock. What had ended by then and could not be taken over waits for the next look.
   */
  nextEnd(): number {
    const ends = [...this.#seen.values()].map(({ at }) => at + leaseMs);
    return Math.min(Number.POSITIVE_INFINITY, ...ends.filter((end) => end > this.#lookedAt));
  }
}
