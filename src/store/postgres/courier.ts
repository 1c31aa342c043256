import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Pool } from 'pg';
import { MizanError } from '../../core/errors.ts';
import { look, paidRows } from './look.ts';
import { migrate } from './migrate.ts';
import { Outbox } from './outbox.ts';
import { Replica, watchTables } from './replica.ts';
import type { SleepFlag } from './sleep-flag.ts';
import { setAsleep } from './sleep-flag.ts';
import type { PostgresNews } from './worker-protocol.ts';

/**
 * In ms: how often is looked for something to send, how often for what others changed, and how long at most between two
 * tries while PostgreSQL is away; and after how long without anything to send only the second is done, until it is woken.
 */
const pace = { lookMs: 100, exchangeMs: 500, longestPauseMs: 2000, checkpointMs: 1000, tellMs: 500, paidMs: 1000 };
const sleepyMs = 2000;

/** PostgreSQL that has not answered for so long counts as away, though it may be about to. In ms. */
const slowMs = 5000;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: MizanError) => void;
}

/** Whoever lets the courier run. */
export interface Reporter {
  /** Told of what changes. */
  tell(news: PostgresNews): void;
  /** Called whenever PostgreSQL was looked at. @param hasSumsDue Whether there are sums to be made. */
  exchanged(hasSumsDue: boolean): void;
  /** Where it says that it has to be woken by who writes. */
  readonly sleep: SleepFlag;
}

/**
 * Goes between the local database and PostgreSQL: sends what waits, fetches what others changed, and goes on by itself
 * where PostgreSQL was away.
 */
export class Courier {
  readonly #local: DatabaseSync;
  readonly #pool: Pool;
  readonly #outbox: Outbox;
  readonly #replica: Replica;
  #isReady = false;
  #exchangedAt = -Infinity;
  #askedOfPaidAt = -Infinity;
  /** What all had paid when it was told of last. */
  #paid = '';
  /** When something was sent or fetched last. */
  #busyAt = performance.now();
  /** Whether nothing waited at the end of the last delivery. */
  #isEmpty = false;
  /** When PostgreSQL last answered, or was first asked since. */
  #answeredAt = 0;
  #countAgainAt = 0;
  #checkpointAt = 0;
  #refused = 0;
  #waiting = 0;
  #waiters: Waiter[] = [];
  #reporter: Reporter | null = null;
  /** Whether it has said that it sleeps, and has looked once since. */
  #isDrowsy = false;
  readonly #drowsyMs: number;
  #endPause: () => void = () => undefined;
  readonly #dataVersion: StatementSync;
  readonly #moveLog: StatementSync;
  /** The version of the data that is wholly in the file. */
  #moved: unknown = null;

  /** @param drowsyMs How often is looked for what others changed, in ms, after a time without anything to send. */
  constructor(local: DatabaseSync, pool: Pool, drowsyMs: number = pace.exchangeMs) {
    this.#local = local;
    this.#pool = pool;
    this.#drowsyMs = drowsyMs;
    this.#dataVersion = local.prepare('PRAGMA data_version');
    this.#moveLog = local.prepare('PRAGMA wal_checkpoint(PASSIVE)');
    this.#outbox = new Outbox(local, pool);
    this.#replica = new Replica(local, pool);
  }

  /**
   * Everything that waits, and everything that others changed.
   * @param progress Called after each part of it.
   * @throws what stands in the way.
   */
  async deliver(progress: () => void = () => undefined): Promise<void> {
    await this.#prepare();
    this.#isEmpty = false;
    for (let isMore = true; isMore;) {
      if (performance.now() - this.#exchangedAt >= pace.exchangeMs) await this.exchange();
      const { rows, refused, isMore: goOn } = await this.#outbox.ship();
      this.#answeredAt = performance.now();
      this.#refused += refused;
      isMore = goOn;
      this.#isEmpty = rows === 0 && refused === 0;
      if (!this.#isEmpty) this.#stayAwake();
      if (isMore) progress();
    }
  }

  /** What was changed here and elsewhere. */
  async exchange(): Promise<void> {
    await this.#prepare();
    if (await this.#replica.send()) this.#stayAwake();
    const now = performance.now();
    const isPaidAsked = this.#reporter !== null && now - this.#askedOfPaidAt >= pace.paidMs - pace.lookMs;
    const { versions, hasSumsDue, paid } = await look(this.#pool, isPaidAsked);
    if (await this.#replica.follow(versions)) this.#stayAwake();
    this.#exchangedAt = performance.now();
    this.#answeredAt = this.#exchangedAt;
    this.#reporter?.exchanged(hasSumsDue);
    if (paid === null) return;
    this.#askedOfPaidAt = now;
    if (paid !== this.#paid) this.#reporter?.tell({ kind: 'paid', rows: paidRows(paid) });
    this.#paid = paid;
  }

  /** Resolves once all that was written before is in PostgreSQL; rejects with `database_unavailable`. */
  settled(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#endPause();
    });
  }

  /** Something was written that is to be sent. */
  wake(): void {
    this.#stayAwake();
    this.#endPause();
  }

  /** Something was changed in the replicated tables that others are to know of at once. */
  changed(): void {
    this.#exchangedAt = -Infinity;
    this.wake();
  }

  /** For ever. */
  async run(reporter: Reporter): Promise<never> {
    this.#reporter = reporter;
    let told = '';
    let reason: string | null = null;
    let isAsking = false;
    const tellState = (): void => {
      this.#count();
      const isSlow = isAsking && performance.now() - this.#answeredAt > slowMs;
      const why = reason ?? (isSlow ? `it has not answered for ${slowMs / 1000} s` : null);
      const state = { isAway: why !== null, reason: why, waiting: this.#waiting, refused: this.#refused };
      if (JSON.stringify(state) !== told) reporter.tell({ kind: 'state', state });
      told = JSON.stringify(state);
    };
    let telling: NodeJS.Timeout | undefined;
    for (let pauseMs: number = pace.lookMs; ;) {
      const waiters = this.#waiters;
      this.#waiters = [];
      this.#answeredAt = performance.now();
      isAsking = true;
      // Beside the delivery, which may take long. A timer that is sooner than the pause would wake this once more for it.
      const late = setTimeout(() => {
        tellState();
        telling ??= setInterval(tellState, pace.tellMs);
      }, slowMs);
      try {
        if (waiters.length > 0) this.#exchangedAt = -Infinity;
        await this.deliver(tellState);
        for (const { resolve } of waiters) resolve();
        pauseMs = pace.lookMs;
        reason = null;
        clearInterval(telling);
        telling = undefined;
      } catch (error) {
        reason = error instanceof Error ? error.message || error.name : String(error);
        for (const { reject } of waiters) reject(away(error));
        pauseMs = Math.min(pauseMs * 2, pace.longestPauseMs);
        telling ??= setInterval(tellState, pace.tellMs);
      }
      clearTimeout(late);
      isAsking = false;
      this.#checkpoint();
      tellState();
      if (this.#waiters.length > 0) continue;
      if (reason === null) await this.#rest(reporter.sleep);
      else await new Promise((resolve) => setTimeout(resolve, pauseMs));
      this.#endPause = () => undefined;
    }
  }

  /** Until there is something to do: it is looked often while there has been some, and seldom where there was none. */
  #rest(flag: SleepFlag): Promise<void> {
    const untilExchange = (ms: number): number => Math.max(Math.ceil(this.#exchangedAt + ms - performance.now()), 1);
    const often = Math.min(pace.lookMs, untilExchange(pace.exchangeMs));
    if (performance.now() - this.#busyAt < sleepyMs) return this.#pause(often);
    setAsleep(flag, true);
    // Once more at the usual pace: who didn't see the flag has written by then.
    const isSure = this.#isDrowsy;
    this.#isDrowsy = true;
    return this.#pause(isSure ? untilExchange(this.#drowsyMs) : often);
  }

  /** Until `wake()` at the latest. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Something was written to the local database, here or by who woke this. */
  #stayAwake(): void {
    this.#busyAt = performance.now();
    this.#isDrowsy = false;
    this.#moved = null;
    if (this.#reporter !== null) setAsleep(this.#reporter.sleep, false);
  }

  async #prepare(): Promise<void> {
    if (this.#isReady) return;
    await migrate(this.#pool);
    await watchTables(this.#pool, this.#local);
    this.#isReady = true;
  }

  /** What the hot thread wrote into the write-ahead log is moved into the file here, not there. */
  #checkpoint(): void {
    if (performance.now() < this.#checkpointAt) return;
    this.#checkpointAt = performance.now() + pace.checkpointMs;
    const version = this.#dataVersion.get()?.['data_version'];
    if (version === this.#moved) return;
    const { busy, log, checkpointed } = this.#moveLog.get() ?? {};
    this.#moved = busy === 0 && log === checkpointed ? version : null;
  }

  /** Counting looks at every row, so the more there are, the less often it is done. */
  #count(): void {
    const startedAt = performance.now();
    if (this.#isEmpty) this.#waiting = 0;
    if (this.#isEmpty || startedAt < this.#countAgainAt) return;
    this.#waiting = this.#outbox.count();
    const endedAt = performance.now();
    this.#countAgainAt = endedAt + 50 * (endedAt - startedAt);
  }
}

/** Something that only PostgreSQL could have answered. */
export function away(cause: unknown): MizanError {
  return new MizanError('database_unavailable', 'The database can’t be reached at the moment.', {
    cause,
    retryAfterMs: pace.longestPauseMs,
  });
}
