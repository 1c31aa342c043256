import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import type { RequestLog, RequestRecord } from '../../core/request-record.ts';
import type { TrailStep } from '../../core/trail.ts';
import { LedgerWriter } from './ledger-writer.ts';

/** How long an answer may wait for its row where the database can't be written, in ms. */
const patienceMs = 1000;

/** Pause before another try, in ms: short at first, since a lock of this program's own lasts that long only. */
const retryMs = { least: 1, most: 50 };

/** Rows that are kept for a database that can't be written; then the oldest go. */
const maxWaiting = 10_000;

interface Waiting {
  readonly record: RequestRecord;
  readonly since: number;
  /** `null` once the answer stopped waiting. */
  release: (() => void) | null;
}

const insert = `
  INSERT INTO requests (
    id, time, tenant, principal, agent, model, instance, provider, stream, status, error_code, attempts, cache,
    input_tokens, output_tokens, cost_usd, usage_source, gateway_ms, upstream_ms, first_token_ms, finish_reason,
    resumed, session, tags, error_message, queued_ms
  ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (tenant, id) DO NOTHING`;

const insertAttempt = `
  INSERT INTO attempts (
    request_id, seq, model, instance, provider, purpose, outcome, detail, started_ms, duration_ms
  ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (request_id, seq) DO NOTHING`;

/** What the log reports of itself. */
export interface RequestLogEvents {
  /** The database can't be written; told once until it can be again. */
  failed(error: unknown): void;
  recovered(): void;
  /** A row was given up: too many wait, the table can't hold it, or the store closes and can't be written even now. */
  dropped(record: RequestRecord): void;
}

/**
 * Group commit: all records that come in one turn of the event loop share one transaction, at the end of the turn.
 * A database that is locked or full delays answers by a second at most; their rows wait in memory, bounded.
 */
export class SqliteRequestLog implements RequestLog {
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #insertAttempt: StatementSync;
  readonly #ledger: LedgerWriter;
  readonly #events: RequestLogEvents;
  /** How long everything else on this connection waits for a lock, in ms. */
  readonly #timeoutMs: number;
  #waiting: Waiting[] = [];
  #isScheduled = false;
  #isFailing = false;
  /** Since when nothing could be written, in ms on the monotonic clock. */
  #failingSince: number | null = null;
  #committed = 0;
  #isLast = false;
  #isClosed = false;
  readonly #touched = new Set<number>();

  constructor(database: DatabaseSync, events: RequestLogEvents) {
    this.#database = database;
    this.#insert = database.prepare(insert);
    this.#insertAttempt = database.prepare(insertAttempt);
    this.#ledger = new LedgerWriter(database);
    this.#events = events;
    this.#timeoutMs = Number(database.prepare('PRAGMA busy_timeout').get()?.['timeout']);
  }

  get pending(): number {
    return this.#waiting.length;
  }

  /** Records committed since the start. */
  get committed(): number {
    return this.#committed;
  }

  /** The minutes (since the epoch) of arrival of what was committed since the last call. */
  takeTouched(): number[] {
    const touched = [...this.#touched];
    this.#touched.clear();
    return touched;
  }

  /** Gives minutes back that nothing was done with. */
  touch(minutes: readonly number[]): void {
    for (const minute of minutes) this.#touched.add(minute);
  }

  append(record: RequestRecord): Promise<void> {
    if (this.#isClosed) {
      this.#events.dropped(record);
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#waiting.push({ record, since: performance.now(), release: resolve });
      if (this.#waiting.length > maxWaiting) this.#drop();
      if (!this.#isScheduled) {
        this.#isScheduled = true;
        setImmediate(this.#flush);
      }
    });
  }

  /**
   * Commits what waits, for the last time. Where it can't be, it is tried again until `deadline`, and once more then,
   * waiting for other connections as long as the database is set to; what is left is given up, each row told of.
   * @param deadline On the monotonic clock, in ms.
   * @returns How many were given up.
   */
  async close(deadline = 0): Promise<number> {
    while (!this.#triedAll() && performance.now() < deadline) await pause(retryMs.most);
    this.#isLast = true;
    if (this.#waiting.length > 0) this.#triedAll();
    this.#isClosed = true;
    const lost = this.#waiting.length;
    while (this.#waiting.length > 0) this.#drop();
    return lost;
  }

  /** Tries to commit what waits; whether nothing does now. What stands in the way is told of once. */
  #triedAll(): boolean {
    try {
      this.flush();
      this.#succeeded();
      return true;
    } catch (error) {
      if (!this.#isFailing && (this.#isLast || !isLocked(error))) {
        this.#isFailing = true;
        this.#events.failed(error);
      }
      return false;
    }
  }

  #succeeded(): void {
    if (this.#isFailing) this.#events.recovered();
    this.#isFailing = false;
    this.#failingSince = null;
  }

  /** Commits what waits. */
  flush(): void {
    const batch = this.#waiting;
    if (batch.length === 0) return;
    this.#commit(batch);
    this.#waiting = [];
    this.#committed += batch.length;
    for (const { record } of batch) this.#touched.add(Math.floor(record.time / 60_000));
    for (const { release } of batch) release?.();
  }

  readonly #flush = (): void => {
    this.#isScheduled = false;
    if (this.#isClosed) return;
    try {
      this.flush();
      this.#succeeded();
    } catch (error) {
      const failingFor = this.#failedNow();
      const isFelt = this.#releaseThePatient();
      // A lock is nothing to speak of before an answer had to go out without its row.
      if (!this.#isFailing && (isFelt || !isLocked(error))) {
        this.#isFailing = true;
        this.#events.failed(error);
      }
      this.#isScheduled = true;
      // Most locks are over in less time than a timer takes.
      if (failingFor < retryMs.least) setImmediate(this.#flush);
      else setTimeout(this.#flush, Math.min(failingFor, retryMs.most));
    }
  };

  #commit(batch: readonly Waiting[]): void {
    this.#begin();
    try {
      for (const { record } of batch) this.#insertIfPossible(record);
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  /** Never waits for another connection's lock: that would hold up everything else on this thread. */
  #begin(): void {
    if (!this.#isLast) this.#database.exec('PRAGMA busy_timeout = 0');
    try {
      this.#database.exec('BEGIN IMMEDIATE');
    } finally {
      if (!this.#isLast) this.#database.exec(`PRAGMA busy_timeout = ${this.#timeoutMs}`);
    }
  }

  /** How long nothing could be written, in ms. */
  #failedNow(): number {
    const now = performance.now();
    this.#failingSince ??= now;
    return now - this.#failingSince;
  }

  /** A record that the table can't hold is given up, so that it doesn't hold up those after it. */
  #insertIfPossible(record: RequestRecord): void {
    try {
      this.#insertOne(record);
    } catch (error) {
      if (!isMistake(error)) throw error;
      this.#events.dropped(record);
    }
  }

  #insertOne(r: RequestRecord): void {
    const { changes } = this.#insert.run(
      r.id,
      r.time,
      r.tenant,
      r.principal,
      r.agent,
      r.model,
      r.instance,
      r.provider,
      r.stream ? 1 : 0,
      r.status,
      r.errorCode,
      r.attempts,
      r.cache,
      r.inputTokens,
      r.outputTokens,
      r.costUsd,
      r.usageSource,
      r.gatewayMs,
      r.upstreamMs,
      r.firstTokenMs,
      r.finishReason,
      r.resumed,
      r.session,
      r.tags === null ? null : JSON.stringify(r.tags),
      r.errorMessage,
      r.queuedMs,
    );
    for (const [seq, step] of (r.trail ?? []).entries()) this.#insertStep(r.id, seq, step);
    // Who sends a row twice has paid once.
    if (changes !== 0 && r.charges !== undefined) this.#ledger.write(r);
  }

  #insertStep(id: string, seq: number, s: TrailStep): void {
    const { model, instance, provider, purpose, outcome, detail, startedMs, durationMs } = s;
    this.#insertAttempt.run(id, seq, model, instance, provider, purpose, outcome, detail, startedMs, durationMs);
  }

  /** @returns Whether an answer goes out without its row now. */
  #releaseThePatient(): boolean {
    const now = performance.now();
    let isFelt = false;
    for (const waiting of this.#waiting) {
      if (now - waiting.since < patienceMs) continue;
      isFelt ||= waiting.release !== null;
      waiting.release?.();
      waiting.release = null;
    }
    return isFelt;
  }

  #drop(): void {
    const oldest = this.#waiting.shift();
    if (oldest === undefined) return;
    oldest.release?.();
    this.#events.dropped(oldest.record);
  }
}

/** The primary result codes of SQLite that matter here. */
const sqlite = { busy: 5, locked: 6, constraint: 19, mismatch: 20 };

function resultOf(error: unknown): number {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) : 0;
  return code & 0xff;
}

function isLocked(error: unknown): boolean {
  return [sqlite.busy, sqlite.locked].includes(resultOf(error));
}

/** The record's own fault: another try would end the same. */
function isMistake(error: unknown): boolean {
  return error instanceof TypeError || [sqlite.constraint, sqlite.mismatch].includes(resultOf(error));
}
