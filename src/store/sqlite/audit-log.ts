import { setTimeout as pause } from 'node:timers/promises';
import type { AuditEvent, AuditLog } from '../../core/audit.ts';
import type { AuditRow } from './audit-chain.ts';

/** What the audit log reports of itself. */
export interface AuditLogEvents {
  /** It can't be written; told once until it can be again. */
  failed(error: unknown): void;
  recovered(): void;
  /** An event was given up because too many wait. */
  dropped(action: string): void;
}

/** Events that are kept for a database that can't be written; then the oldest go. */
const maxWaiting = 1000;

/** Pause before another try, in ms. */
const retryMs = 1000;

/** More of `before` or `after` than this is not kept, in characters. */
const maxDetail = 16 * 1024;

/** Hands events on in groups, one after the other, in the order in which they came. */
export class QueuedAuditLog implements AuditLog {
  readonly #append: (rows: readonly AuditRow[]) => Promise<unknown>;
  readonly #events: AuditLogEvents;
  #waiting: AuditRow[] = [];
  #flushing: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;
  #isFailing = false;

  constructor(append: (rows: readonly AuditRow[]) => Promise<unknown>, events: AuditLogEvents) {
    this.#append = append;
    this.#events = events;
  }

  record(event: AuditEvent): void {
    this.#waiting.push(auditRow(event, Date.now()));
    this.#drop(maxWaiting);
    if (this.#retry === undefined) this.#flushing ??= this.#flush();
  }

  /**
   * Tries to write what waits until `deadline`, and once more then; what is left is given up, each entry told of.
   * @param deadline On the monotonic clock, in ms.
   * @returns How many were given up.
   */
  async close(deadline = 0): Promise<number> {
    clearTimeout(this.#retry);
    await this.#flushing;
    for (;;) {
      const isLast = performance.now() >= deadline;
      clearTimeout(this.#retry);
      await this.#flush();
      clearTimeout(this.#retry);
      if (this.#waiting.length === 0 || isLast) break;
      await pause(Math.min(retryMs, Math.max(0, deadline - performance.now())));
    }
    const lost = this.#waiting.length;
    this.#drop(0);
    return lost;
  }

  /** The oldest, until no more than `kept` wait. */
  #drop(kept: number): void {
    const tooMany = Math.max(0, this.#waiting.length - kept);
    for (const { action } of this.#waiting.splice(0, tooMany)) this.#events.dropped(action);
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const rows = this.#waiting;
      this.#waiting = [];
      try {
        await this.#append(rows);
        if (this.#isFailing) this.#events.recovered();
        this.#isFailing = false;
      } catch (error) {
        if (!this.#isFailing) this.#events.failed(error);
        this.#isFailing = true;
        this.#waiting = [...rows, ...this.#waiting];
        this.#drop(maxWaiting);
        this.#retry = setTimeout(() => this.#again(), retryMs).unref();
        break;
      }
    }
    this.#flushing = null;
  }

  #again(): void {
    this.#retry = undefined;
    this.#flushing ??= this.#flush();
  }
}

/** For commands, which run and end: an event is written before `record` returns. */
export function directAuditLog(
  append: (rows: readonly AuditRow[]) => void,
  failed: (error: unknown) => void,
): AuditLog {
  return {
    record(event) {
      try {
        append([auditRow(event, Date.now())]);
      } catch (error) {
        failed(error);
      }
    },
  };
}

function auditRow(event: AuditEvent, time: number): AuditRow {
  return {
    time,
    tenant: event.tenant,
    action: event.action,
    outcome: event.outcome,
    actor: detail(event.actor),
    target: event.target,
    before: detail(event.before),
    after: detail(event.after),
    from_address: event.from,
    request_id: event.requestId,
    count: event.count ?? 1,
  };
}

/** As JSON; what has none, or too much, is said to be that. */
function detail(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  let json: string;
  try {
    json = JSON.stringify(value) ?? 'null';
  } catch {
    return '{"left_out":"no JSON"}';
  }
  return json.length > maxDetail ? `{"left_out":"${json.length} characters"}` : json;
}
