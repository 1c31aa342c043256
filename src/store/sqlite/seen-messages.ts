import { createHash } from 'node:crypto';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { MizanError } from '../../core/errors.ts';
import type { SeenMessages } from '../../security/seen-messages.ts';

/** Messages that are remembered at once; more than come in their lifetime, unless somebody tries. */
const maxRemembered = 1_000_000;

/** Expired ones that go at once, for each that comes. */
const sweepSize = 4;

/**
 * In SQLite, so that neither a restart nor a second process on the same data opens a window: a message is remembered
 * before it is acted on.
 */
export class SqliteSeenMessages implements SeenMessages {
  readonly #add: StatementSync;
  readonly #sweep: StatementSync;
  #count: number;
  readonly #max: number;

  /** @param max For tests. */
  constructor(database: DatabaseSync, max = maxRemembered) {
    this.#max = max;
    this.#count = Number(database.prepare('SELECT count(*) AS n FROM seen_messages').get()?.['n']);
    this.#add = database.prepare('INSERT INTO seen_messages (id, expires_at) VALUES (?, ?) ON CONFLICT DO NOTHING');
    this.#sweep = database.prepare(
      `DELETE FROM seen_messages WHERE id IN (SELECT id FROM seen_messages WHERE expires_at < ? LIMIT ${sweepSize})`,
    );
  }

  isFirst(tenant: string, jti: string, times: { readonly now: number; readonly expiresAt: number }): boolean {
    try {
      this.#count -= Number(this.#sweep.run(times.now).changes);
      if (this.#count >= this.#max) {
        throw new MizanError('overloaded', 'Too many encrypted requests are remembered.', { retryAfterMs: 1000 });
      }
      const isNew = this.#add.run(idOf(tenant, jti), times.expiresAt).changes > 0;
      if (isNew) this.#count++;
      return isNew;
    } catch (cause) {
      if (cause instanceof MizanError) throw cause;
      throw new MizanError('internal', 'It could not be remembered that this request came.', { cause });
    }
  }
}

function idOf(tenant: string, jti: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([tenant, jti]))
    .digest()
    .subarray(0, 16);
}
