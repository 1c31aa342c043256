import type { PayloadEvents } from '../payloads/queue.ts';
import type { RequestLogEvents } from './request-log.ts';

/** What is wrong with a database now: each kind of work is well again with its next success. */
export class Troubles {
  readonly #now = new Map<string, string>();

  /** All there are, in one line; `null` where there is none. */
  get words(): string | null {
    return this.#now.size === 0 ? null : [...this.#now.values()].join('; ');
  }

  /** @param what What can't be done: "The database can't be written". */
  note(kind: string, what: string, error: unknown): void {
    this.#now.set(kind, `${what}: ${error instanceof Error ? error.message : 'for a reason without words'}`);
  }

  has(kind: string): boolean {
    return this.#now.has(kind);
  }

  passed(kind: string): void {
    this.#now.delete(kind);
  }

  /** The same events, watched. */
  watching(events: RequestLogEvents): RequestLogEvents {
    return {
      dropped: (record) => events.dropped(record),
      failed: (error) => {
        this.note('write', "The database can't be written", error);
        events.failed(error);
      },
      recovered: () => {
        this.passed('write');
        events.recovered();
      },
    };
  }

  watchingPayloads(events: PayloadEvents): PayloadEvents {
    return {
      dropped: (count) => events.dropped(count),
      failed: (error) => {
        this.note('payloads', "What was said can't be kept", error);
        events.failed(error);
      },
      recovered: () => {
        this.passed('payloads');
        events.recovered();
      },
    };
  }
}
