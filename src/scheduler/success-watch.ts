import type { Clock } from '../core/clock.ts';
import type { JobStore } from '../core/jobs.ts';
import type { JobFigures } from '../telemetry/job-metrics.ts';

/** How often all jobs are looked at, and how far clocks of machines may be apart; in ms. */
const wholeMs = 600_000;
const apartMs = 120_000;

/** How many jobs are asked for by name; more are no fewer than all. */
const mostNamed = 1000;

/** How many jobs in one turn of the event loop. */
const atOnce = 100;

interface Parts {
  readonly store: Pick<JobStore, 'lastRuns' | 'ranSince'>;
  readonly figures: Pick<JobFigures, 'succeeded' | 'late'>;
  readonly clock: Clock;
}

/** Shows when jobs last succeeded, wherever they ran; it asks again for those only that have run since it asked. */
export class SuccessWatch {
  readonly #parts: Parts;
  readonly #isShown: (job: string) => boolean;
  #wholeAt = Number.NEGATIVE_INFINITY;
  #lookedAt = 0;
  /** Jobs that ran, or had a run that was open, when it was looked last. */
  #ran: readonly string[] = [];

  /** @param isShown Whether a job's name may be a label. */
  constructor(parts: Parts, isShown: (job: string) => boolean) {
    this.#parts = parts;
    this.#isShown = isShown;
  }

  /** @throws whatever the store throws. */
  async look(): Promise<void> {
    const { store, figures, clock } = this.#parts;
    const now = clock.now();
    const isWhole = clock.monotonic() - this.#wholeAt >= wholeMs;
    const ran = await store.ranSince(Math.min(now, isWhole ? now : this.#lookedAt) - apartMs);
    // What was open then may have ended since.
    const names = [...new Set([...this.#ran, ...ran])];
    const lasts = await store.lastRuns(isWhole || names.length > mostNamed ? undefined : names);
    for (const [i, { job, lastSuccessAt, lateInARow }] of lasts.entries()) {
      if (i % atOnce === atOnce - 1) await new Promise((resolve) => setImmediate(resolve));
      if (!this.#isShown(job)) continue;
      if (lastSuccessAt !== null) figures.succeeded(job, lastSuccessAt);
      figures.late(job, lateInARow);
    }
    if (isWhole) this.#wholeAt = clock.monotonic();
    this.#ran = ran;
    this.#lookedAt = now;
  }
}
