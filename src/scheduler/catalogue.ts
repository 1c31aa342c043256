import type { JobRun, JobStore, StoredJob } from '../core/jobs.ts';
import type { Timetable } from '../core/schedule.ts';
import { timetableOf } from '../core/schedule.ts';
import type { JobEvents } from './contract.ts';
import { DueTimes } from './due-times.ts';

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
  readonly #events: Pick<JobEvents, 'unreadable'>;
  readonly #known = new Map<string, Known>();
  readonly #dueTimes = new DueTimes<Known>((known) => this.isCurrent(known));
  #changes = 0;
  #revision = 0;
  #wholeAt = Number.NEGATIVE_INFINITY;
  /** Told of each due time to come. @param isOurs Whether it is known by what was done here, and not elsewhere. */
  onDue: (known: Known, isOurs: boolean) => void = () => undefined;

  constructor(store: JobStore, events: Pick<JobEvents, 'unreadable'>) {
    this.#store = store;
    this.#events = events;
  }

  get(name: string): Known | undefined {
    return this.#known.get(name);
  }

  all(): IterableIterator<Known> {
    return this.#known.values();
  }

  get size(): number {
    return this.#known.size;
  }

  /** The job that is due first, of those that are not paused; `undefined` where none ever is. */
  first(): Known | undefined {
    return this.#dueTimes.first();
  }

  /** Counts up with every job that is new, or not as it was. */
  get changes(): number {
    return this.#changes;
  }

  /** @param monotonic In ms. */
  async refresh(monotonic: number): Promise<void> {
    if (this.#isWholeDue(monotonic)) await this.#readAll(monotonic);
    else await this.#takeAll(await this.#store.changed(this.#revision));
  }

  /**
   * Refreshes it, and asks for runs in the same breath.
   * @param monotonic In ms.
   * @param now In ms since the Unix epoch.
   * @returns The runs that are open.
   */
  async look(monotonic: number, now: number): Promise<readonly JobRun[]> {
    if (this.#isWholeDue(monotonic)) await this.#readAll(monotonic);
    const { jobs, runs } = await this.#store.look(this.#revision, now);
    await this.#takeAll(jobs);
    return runs;
  }

  #isWholeDue(monotonic: number): boolean {
    return monotonic - this.#wholeAt >= wholeMs;
  }

  async #readAll(monotonic: number): Promise<void> {
    const jobs = await this.#store.jobs();
    this.#wholeAt = monotonic;
    const names = new Set(jobs.map(({ name }) => name));
    for (const name of this.#known.keys()) if (!names.has(name)) this.#known.delete(name);
    await this.#takeAll(jobs);
  }

  async #takeAll(jobs: readonly StoredJob[]): Promise<void> {
    for (const [i, job] of jobs.entries()) {
      if (i % atOnce === atOnce - 1) await new Promise((resolve) => setImmediate(resolve));
      this.#take(job);
    }
  }

  /** Everything up to `cursor` was dealt with. */
  advanced(known: Known, cursor: number, isOurs = true): void {
    known.job = { ...known.job, cursor };
    this.passOver(known, cursor, isOurs);
  }

  /** Nothing is to be done for what was due up to `time`. */
  passOver(known: Known, time: number, isOurs = true): void {
    known.nextDue = known.timetable.next(time);
    this.#dueTimes.add(known, this.#known.size);
    this.onDue(known, isOurs);
  }

  /** Whether the job is still as it is known here, and due by itself. */
  isCurrent(known: Known): boolean {
    return known.job.pausedAt === null && this.#known.get(known.job.name) === known;
  }

  #take(job: StoredJob): void {
    this.#revision = Math.max(this.#revision, job.revision);
    const { name } = job;
    const before = this.#known.get(name);
    if (job.isRemoved) this.#known.delete(name);
    else if (before === undefined || signatureOf(before.job) !== signatureOf(job)) {
      const known: Known = { job, timetable: timetableOf(job.schedule), nextDue: null };
      this.#known.set(name, known);
      this.#changes++;
      try {
        this.passOver(known, job.cursor);
      } catch (error) {
        // One that this machine can't read, such as a time zone that it doesn't know, holds up no other.
        this.#events.unreadable(job, error);
      }
    } else if (job.cursor > before.job.cursor) this.advanced(before, job.cursor, false);
  }
}

/** What of a job others may change; where it is as before, what is known of its due times stays right. */
function signatureOf({ revision, pausedAt, schedule, settings }: StoredJob): string {
  return JSON.stringify([revision, pausedAt, schedule, settings]);
}
