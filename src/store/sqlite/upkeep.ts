import type { SqliteRequestLog } from './request-log.ts';
import type { StoreWorker } from './store-worker.ts';
import type { Troubles } from './troubles.ts';

/** How often the write-ahead log is looked after, in ms; and from how many committed rows on it is worth it. */
const checkpoint = { everyMs: 1000, rows: 200 };

/**
 * How often sums are made of what was committed, in ms; and for how long it is put off, in times of what the last ones
 * took. A minute is read whole for each of its sums: under heavy load that may not take more than a fiftieth of a core.
 */
const sums = { everyMs: 2000, rest: 50, longestMs: 30_000 };

/** When sums may be made again that took from `started` until `ended`, all in ms. */
export function nextSumsAt(started: number, ended: number): number {
  return ended + Math.min((ended - started) * sums.rest, sums.longestMs);
}

interface UpkeepRooms {
  readonly log: SqliteRequestLog;
  readonly worker: StoreWorker;
  readonly troubles: Troubles;
}

/** What a serving process does for its database, on threads that answer nobody. */
export class Upkeep {
  readonly #log: SqliteRequestLog;
  readonly #worker: StoreWorker;
  readonly #troubles: Troubles;
  readonly #timers: NodeJS.Timeout[];
  #checkpointed = 0;
  #isSumming = false;
  #nextSumsAt = 0;

  constructor({ log, worker, troubles }: UpkeepRooms) {
    this.#log = log;
    this.#worker = worker;
    this.#troubles = troubles;
    this.#timers = [
      setInterval(() => this.#checkpoint(), checkpoint.everyMs),
      setInterval(() => this.#sum(), sums.everyMs),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #checkpoint(): void {
    // A disk that was full has room for the database first: a log that goes on growing would take all there is again.
    const isInTrouble = this.#troubles.has('write') || this.#troubles.has('checkpoint') || this.#troubles.has('sums');
    if (this.#log.committed - this.#checkpointed < checkpoint.rows && !isInTrouble) return;
    const upTo = this.#log.committed;
    const moving = this.#worker.checkpoint().then(() => {
      this.#checkpointed = upTo;
    });
    this.#track('checkpoint', "The write-ahead log can't be moved into the database", moving);
  }

  #sum(): void {
    const started = performance.now();
    const isEarly = this.#isSumming || started < this.#nextSumsAt;
    const hasToWait = isEarly || this.#troubles.has('write') || this.#troubles.has('checkpoint');
    const minutes = hasToWait ? [] : this.#log.takeTouched();
    if (minutes.length === 0) return;
    this.#isSumming = true;
    const summing = this.#worker.rollUp(minutes).catch((error: unknown) => {
      this.#log.touch(minutes);
      throw error;
    });
    this.#track('sums', "Requests can't be summed up", summing);
    void summing
      .catch(() => undefined)
      .finally(() => {
        this.#isSumming = false;
        this.#nextSumsAt = nextSumsAt(started, performance.now());
      });
  }

  #track(kind: string, what: string, work: Promise<unknown>): void {
    work.then(
      () => this.#troubles.passed(kind),
      (error: unknown) => {
        const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
        this.#troubles.note(kind, what, typeof cause === 'string' ? new Error(cause) : cause);
      },
    );
  }
}
