import { createHash } from 'node:crypto';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { MizanError } from '../../core/errors.ts';
import type { MessageName, SeenMessages } from '../../security/seen-messages.ts';

/**
 * Messages that are remembered at once; more than come in their lifetime, unless somebody tries. A tenant has at most as
 * many as are free, so that one alone has half of them, the next half of what is left, and so on.
 */
const maxRemembered = 1_000_000;

/** The part of them that a tenant has in any case, also where others have left nothing. */
const share = 0.001;

/** Expired ones that go at once, for each that comes. */
const sweepSize = 4;

/**
 * In SQLite, so that neither a restart nor a second process on the same data opens a window: a message is remembered
 * before it is acted on.
 */
export class SqliteSeenMessages implements SeenMessages {
  readonly #add: StatementSync;
  readonly #sweep: StatementSync;
  readonly #counts: Map<string, number>;
  #total = 0;
  readonly #max: number;

  /** @param max For tests. */
  constructor(database: DatabaseSync, max = maxRemembered) {
    this.#max = max;
    const counted = database.prepare('SELECT tenant, count(*) AS n FROM seen_messages GROUP BY tenant').all();
    this.#counts = new Map(counted.map((row) => [String(row['tenant']), Number(row['n'])]));
    for (const count of this.#counts.values()) this.#total += count;
    this.#add = database.prepare(
      'INSERT INTO seen_messages (id, tenant, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
    );
    this.#sweep = database.prepare(
      `DELETE FROM seen_messages WHERE id IN (SELECT id FROM seen_messages WHERE expires_at < ? LIMIT ${sweepSize})
       RETURNING tenant`,
    );
  }

  isFirst(name: MessageName, times: { readonly now: number; readonly expiresAt: number }): boolean {
    const { tenant } = name;
    try {
      for (const gone of this.#sweep.all(times.now)) this.#count(String(gone['tenant']), -1);
      if ((this.#counts.get(tenant) ?? 0) >= Math.max(this.#max * share, this.#max - this.#total)) {
        throw new MizanError('overloaded', 'Too many encrypted requests are remembered.', { retryAfterMs: 1000 });
      }
      const isNew = this.#add.run(idOf(name), tenant, times.expiresAt).changes > 0;
      if (isNew) this.#count(tenant, 1);
      return isNew;
    } catch (cause) {
      if (cause instanceof MizanError) throw cause;
      throw new MizanError('internal', 'It could not be remembered that this request came.', { cause });
    }
  }

  /** Another process on the same data may have added what goes here: nothing falls below none. */
  #count(tenant: string, by: 1 | -1): void {
    const before = this.#counts.get(tenant) ?? 0;
    const after = Math.max(0, before + by);
    if (after === 0) this.#counts.delete(tenant);
    else this.#counts.set(tenant, after);
    this.#total += after - before;
  }
}

function idOf({ scope, jti }: MessageName): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([scope, jti]))
    .digest()
    .subarray(0, 16);
}
