import type { SqliteRequestLog } from './request-log.ts';
import type { StoreWorker } from './store-worker.ts';
import type { Troubles } from './troubles.ts';

/**
 * How often the write-ahead log is looked after, in ms; and from how many committed rows on it is worth it. However few
 * they are, after `latestMs` they are on the disk: a power cut costs no more than that.
 */
const checkpoint = { everyMs: 1000, rows: 200, latestMs: 5000 };

/** How often sums are made of what was committed, in ms, and at the latest. */
const sumsMs = { often: 2000, latest: 30_000 };

/**
 * How long sums rest after they were made, in ms. All of a minute is read for each, at about a µs a row: no more than a
 * fiftieth of a core goes into it.
 * @param rows Committed in the last minute.
 */
export function sumsRestMs(rows: number): number {
  return Math.min(Math.max(rows / 20, sumsMs.often), sumsMs.latest);
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
  #checkpointedAt = 0;
  #isSumming = false;
  #summedAt = Number.NEGATIVE_INFINITY;
  /** Rows that were committed by each of the last times that it was looked, a minute back. */
  readonly #counts: number[] = [0];

  constructor({ log, worker, troubles }: UpkeepRooms) {
    this.#log = log;
    this.#worker = worker;
    this.#troubles = troubles;
    this.#timers = [
      setInterval(() => this.#checkpoint(), checkpoint.everyMs),
      setInterval(() => this.#sum(), sumsMs.often),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #checkpoint(): void {
    // A disk that was full has room for the database first: a log that goes on growing would take all there is again.
    const isInTrouble = this.#troubles.has('write') || this.#troubles.has('checkpoint') || this.#troubles.has('sums');
    const upTo = this.#log.committed;
    const now = performance.now();
    const isLate = upTo > this.#checkpointed && now - this.#checkpointedAt >= checkpoint.latestMs;
    if (upTo - this.#checkpointed < checkpoint.rows && !isLate && !isInTrouble) return;
    const moving = this.#worker.checkpoint().then(() => {
      this.#checkpointed = upTo;
      this.#checkpointedAt = now;
    });
    this.#track('checkpoint', "The write-ahead log can't be moved into the database", moving);
  }

  #sum(): void {
    const { committed } = this.#log;
    if (this.#counts.push(committed) > 60_000 / sumsMs.often) this.#counts.shift();
    const now = performance.now();
    // Half a step early rather than one late: timers are not exact.
    const rest = sumsRestMs(committed - (this.#counts[0] ?? 0)) - sumsMs.often / 2;
    const isEarly = this.#isSumming || now - this.#summedAt < rest;
    const hasToWait = isEarly || this.#troubles.has('write') || this.#troubles.has('checkpoint');
    const minutes = hasToWait ? [] : this.#log.takeTouched();
    if (minutes.length === 0) return;
    this.#isSumming = true;
    this.#summedAt = now;
    const summing = this.#worker.rollUp(minutes).catch((error: unknown) => {
      this.#log.touch(minutes);
      throw error;
    });
    this.#track('sums', "Requests can't be summed up", summing);
    void summing.catch(() => undefined).finally(() => (this.#isSumming = false));
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
