import type { JobStore, StoredJob } from '../core/jobs.ts';
import type { Timetable } from '../core/schedule.ts';
import { timetableOf } from '../core/schedule.ts';

/** A job as it is known here, with when it is due next. */
export interface Known {
  job: StoredJob;
  readonly timetable: Timetable;
  /** In ms since the Unix epoch; `null` for never. */
  nextDue: number | null;
}

/** How often all jobs are read again, in ms: what could not be seen by its revision is seen by then. */
const wholeMs = 600_000;

/** How many jobs in one turn of the event loop. */
const atOnce = 100;

/** The jobs there are, followed by their revisions. */
export class Catalogue {
  readonly #store: JobStore;
  readonly #known = new Map<string, Known>();
  #revision = 0;
  #wholeAt = Number.NEGATIVE_INFINITY;

  constructor(store: JobStore) {
    this.#store = store;
  }

  get(name: string): Known | undefined {
    return this.#known.get(name);
  }

  all(): IterableIterator<Known> {
    return this.#known.values();
  }

  /** @param monotonic In ms. */
  async refresh(monotonic: number): Promise<void> {
    const isWhole = monotonic - this.#wholeAt >= wholeMs;
    const jobs = isWhole ? await this.#store.jobs() : await this.#store.changed(this.#revision);
    if (isWhole) {
      this.#wholeAt = monotonic;
      const names = new Set(jobs.map(({ name }) => name));
      for (const name of this.#known.keys()) if (!names.has(name)) this.#known.delete(name);
    }
    for (const [i, job] of jobs.entries()) {
      if (i % atOnce === atOnce - 1) await new Promise((resolve) => setImmediate(resolve));
      this.#take(job);
    }
  }

  /** Everything up to `cursor` was dealt with. */
  advanced(known: Known, cursor: number): void {
    known.job = { ...known.job, cursor };
    known.nextDue = known.timetable.next(cursor);
  }

  #take(job: StoredJob): void {
    this.#revision = Math.max(this.#revision, job.revision);
    const { name } = job;
    const before = this.#known.get(name);
    if (job.isRemoved) this.#known.delete(name);
    else if (before === undefined || signatureOf(before.job) !== signatureOf(job)) {
      const timetable = timetableOf(job.schedule);
      this.#known.set(name, { job, timetable, nextDue: timetable.next(job.cursor) });
    } else if (job.cursor > before.job.cursor) this.advanced(before, job.cursor);
  }
}

/** What of a job others may change; where it is as before, what is known of its due times stays right. */
function signatureOf({ revision, pausedAt, schedule, settings }: StoredJob): string {
  return JSON.stringify([revision, pausedAt, schedule, settings]);
}
