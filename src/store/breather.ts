import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { openDatabase } from './sqlite/database.ts';
import { databaseFile, outboxFile } from './sqlite/file.ts';

/**
 * How long work goes on before it rests, and how long a rest is at most, in ms. Who is answered meanwhile waits for no
 * longer than a stretch: many short ones are hardly noticed where a few long ones of the same time in all are.
 */
const stretchMs = { least: 0.25, rest: 50 };

/** How much is rested. */
export interface Rests {
  /** How many times as long as the work before it a rest is. */
  readonly perWork: number;
  /** After so much rest in all, each is only as long as the work before it: there is an end to everybody's time. In ms. */
  readonly budgetMs: number;
}

/** Where somebody waits, if not for long. */
export const withoutHaste: Rests = { perWork: 2, budgetMs: Infinity };

/** Where nobody does, within the hour that a job has. */
export const unhurried: Rests = { perWork: 6, budgetMs: 1_500_000 };

/** How often it is looked whether anybody writes, and for how long one that did counts as being there, in ms. */
const look = { everyMs: 100, lastsMs: 1000 };

const cell = new Int32Array(new SharedArrayBuffer(4));

function holdUp(ms: number): void {
  Atomics.wait(cell, 0, 0, ms);
}

export interface BreatherClock {
  /** On the monotonic clock, in ms. */
  readonly now?: () => number;
  /** Holds the thread up. */
  readonly pause?: (ms: number) => void;
}

/**
 * Lets work that nobody waits for rest in between, for as long as a Mizan beside it is busy: memory, disk and caches are
 * shared, however low a priority is. Whether it is busy is seen from the database: somebody commits to it.
 */
export class Breather {
  readonly #databases: readonly DatabaseSync[];
  #seen: string;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #busyUntil = Number.NEGATIVE_INFINITY;
  readonly #now: () => number;
  readonly #pause: (ms: number) => void;
  #since: number;

  readonly #rests: Rests;
  #rested = 0;

  /** @param folder The data folder. Where there is no database in it, nobody is busy. */
  constructor(folder: string, rests: Rests, { now = () => performance.now(), pause = holdUp }: BreatherClock = {}) {
    this.#rests = rests;
    this.#now = now;
    this.#pause = pause;
    this.#since = now();
    // With PostgreSQL, answers commit to the database that their rows are sent from.
    const files = [databaseFile, outboxFile].map((name) => join(folder, name)).filter((file) => existsSync(file));
    this.#databases = files.flatMap(opened);
    this.#seen = this.#versions();
  }

  /**
   * To be called after every small step: holds the thread up for as long as it has to rest.
   * @param times How many times as long as usual.
   */
  rest(times = 1): void {
    const now = this.#now();
    const worked = now - this.#since;
    if (worked < stretchMs.least) return;
    this.#look(now);
    if (now < this.#busyUntil) {
      const { perWork, budgetMs } = this.#rests;
      this.#pause(Math.min(worked * (this.#rested < budgetMs ? perWork * times : 1), stretchMs.rest));
    }
    this.#since = this.#now();
    this.#rested += this.#since - now;
  }

  close(): void {
    for (const database of this.#databases) database.close();
  }

  #look(now: number): void {
    if (now - this.#lookedAt < look.everyMs) return;
    this.#lookedAt = now;
    const seen = this.#versions();
    if (seen !== this.#seen) this.#busyUntil = now + look.lastsMs;
    this.#seen = seen;
  }

  /** Numbers that change whenever another connection commits. */
  #versions(): string {
    try {
      return this.#databases.map((each) => each.prepare('PRAGMA data_version').get()?.['data_version']).join();
    } catch {
      // A database that can't be read is somebody else's to tell of.
      return this.#seen;
    }
  }
}

function opened(file: string): DatabaseSync[] {
  try {
    return [openDatabase(file, { readOnly: true, busyTimeoutMs: 0 })];
  } catch {
    return [];
  }
}
