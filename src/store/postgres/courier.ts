import type { DatabaseSync } from 'node:sqlite';
import type { Pool } from 'pg';
import { MizanError } from '../../core/errors.ts';
import { migrate } from './migrate.ts';
import { Outbox } from './outbox.ts';
import { Replica, watchTables } from './replica.ts';
import type { PostgresState } from './worker-protocol.ts';

/** In ms: how often is looked for something to send, how often for what others changed, and how long at most between
 * two tries while PostgreSQL is away. */
const pace = { lookMs: 100, exchangeMs: 500, longestPauseMs: 2000, checkpointMs: 1000, tellMs: 500 };

/** PostgreSQL that has not answered for so long counts as away, though it may be about to. In ms. */
const slowMs = 5000;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: MizanError) => void;
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
  /** When PostgreSQL last answered, or was first asked since. */
  #answeredAt = 0;
  #countAgainAt = 0;
  #checkpointAt = 0;
  #refused = 0;
  #waiting = 0;
  #waiters: Waiter[] = [];

  constructor(local: DatabaseSync, pool: Pool) {
    this.#local = local;
    this.#pool = pool;
    this.#outbox = new Outbox(local, pool);
    this.#replica = new Replica(local, pool);
  }

  /** Everything that waits, and everything that others changed. @throws what stands in the way. */
  async deliver(): Promise<void> {
    await this.#prepare();
    for (let isMore = true; isMore;) {
      if (performance.now() - this.#exchangedAt >= pace.exchangeMs) await this.exchange();
      const { refused, isMore: goOn } = await this.#outbox.ship();
      this.#answeredAt = performance.now();
      this.#refused += refused;
      isMore = goOn;
    }
  }

  /** What was changed here and elsewhere. */
  async exchange(): Promise<void> {
    await this.#prepare();
    await this.#replica.exchange();
    this.#exchangedAt = performance.now();
    this.#answeredAt = this.#exchangedAt;
  }

  /** Resolves once all that was written before is in PostgreSQL; rejects with `database_unavailable`. */
  settled(): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** For ever. @param tell Is told at every change. */
  async run(tell: (state: PostgresState) => void): Promise<never> {
    let told = '';
    let reason: string | null = null;
    let isAsking = false;
    const look = (): void => {
      this.#count();
      const isSlow = isAsking && performance.now() - this.#answeredAt > slowMs;
      const why = reason ?? (isSlow ? `it has not answered for ${slowMs / 1000} s` : null);
      const state = { isAway: why !== null, reason: why, waiting: this.#waiting, refused: this.#refused };
      if (JSON.stringify(state) !== told) tell(state);
      told = JSON.stringify(state);
    };
    // Beside the deliveries, of which one may take long.
    setInterval(look, pace.tellMs);
    for (let pauseMs: number = pace.lookMs; ;) {
      const waiters = this.#waiters;
      this.#waiters = [];
      this.#answeredAt = performance.now();
      isAsking = true;
      try {
        if (waiters.length > 0) this.#exchangedAt = -Infinity;
        await this.deliver();
        for (const { resolve } of waiters) resolve();
        pauseMs = pace.lookMs;
        reason = null;
      } catch (error) {
        reason = error instanceof Error ? error.message || error.name : String(error);
        for (const { reject } of waiters) reject(away(error));
        pauseMs = Math.min(pauseMs * 2, pace.longestPauseMs);
      }
      isAsking = false;
      this.#checkpoint();
      look();
      if (this.#waiters.length === 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
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
    this.#local.exec('PRAGMA wal_checkpoint(PASSIVE)');
    this.#checkpointAt = performance.now() + pace.checkpointMs;
  }

  /** Counting looks at every row, so the more there are, the less often it is done. */
  #count(): void {
    const startedAt = performance.now();
    if (startedAt < this.#countAgainAt) return;
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
