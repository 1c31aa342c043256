import type { AuditEvent, AuditLog } from '../../core/audit.ts';
import type { Clock } from '../../core/clock.ts';

/** Those that are alike within this time share one entry after the first, in ms. */
const windowMs = 60_000;

/** Kinds that are told apart within that time. Whatever else comes is only counted. */
const maxKinds = 60;

interface Counted {
  readonly event: AuditEvent;
  more: number;
}

/**
 * Denials on their way into the audit log: the first of a kind at once, those like it within a minute as one entry with
 * their number. However many bad tokens come, from however many places, a minute leaves at most 121 entries.
 */
export class Denials {
  readonly #log: AuditLog;
  readonly #clock: Clock;
  readonly #kinds = new Map<string, Counted>();
  #others: Counted | null = null;
  #since = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(log: AuditLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  record(event: AuditEvent): void {
    const now = this.#clock.monotonic();
    if (now - this.#since >= windowMs) {
      this.flush();
      this.#since = now;
    }
    const { actor, target, after, from } = event;
    const kind = JSON.stringify([actor, target, after, from]);
    const known = this.#kinds.get(kind);
    if (known !== undefined) {
      known.more++;
    } else if (this.#kinds.size < maxKinds) {
      this.#kinds.set(kind, { event, more: 0 });
      this.#log.record(event);
    } else {
      this.#others ??= { event: othersLike(event), more: 0 };
      this.#others.more++;
    }
    this.#timer ??= setTimeout(() => this.flush(), windowMs).unref();
  }

  /** Records what was only counted so far. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { event, more } of [...this.#kinds.values(), ...(this.#others === null ? [] : [this.#others])]) {
      if (more > 0) this.#log.record({ ...event, requestId: null, count: more });
    }
    this.#kinds.clear();
    this.#others = null;
    this.#since = -Infinity;
  }
}

/** What is left to say of a crowd. */
function othersLike(event: AuditEvent): AuditEvent {
  return { ...event, actor: null, tenant: 'system', target: null, from: null, after: { code: 'various' } };
}
