import { hash, timingSafeEqual } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { SealContext, Sealing } from '../../core/sealing.ts';
import { unsealable } from '../../security/envelope.ts';
import type { SealedRoom } from '../../security/rotation.ts';
import { sealedUnder } from './sealed-values.ts';

/** A row of `api_keys`, with whatever columns it has. */
export interface SealableRow {
  readonly id: string;
  readonly tenant: string;
  readonly [column: string]: unknown;
}

/** Columns that say nothing about what a key may do, and change too often to be sealed each time. */
const uncovered: readonly string[] = ['sealed', 'last_used_at'];

/**
 * A seal on each row of `api_keys`: the hash of all its columns, sealed for its tenant and id. Whoever can write to
 * the database can neither change what a key may do, nor move it to another tenant or id, nor add one.
 */
export class RowSeal implements SealedRoom {
  readonly purpose = 'api-key';
  readonly #database: DatabaseSync;
  readonly #sealing: Sealing;

  constructor(database: DatabaseSync, sealing: Sealing) {
    this.#database = database;
    this.#sealing = sealing;
  }

  make(row: SealableRow): Buffer {
    return this.#sealing.seal(digestOf(row), contextOf(row));
  }

  /** @throws MizanError `unsealable` where the row is not as it was when it was sealed. */
  check(row: SealableRow & { readonly sealed: Uint8Array | null }): void {
    const context = contextOf(row);
    if (row.sealed === null) throw unsealable(context);
    const sealed = this.#sealing.open(row.sealed, context);
    const digest = digestOf(row);
    if (sealed.length !== digest.length || !timingSafeEqual(sealed, digest)) throw unsealable(context);
  }

  /** Seals the rows that are older than seals. To be done once: afterwards a row without one is nobody's. */
  sealAll(): void {
    const update = this.#database.prepare('UPDATE api_keys SET sealed = ? WHERE id = ?');
    for (const row of this.#database.prepare('SELECT * FROM api_keys WHERE sealed IS NULL').all()) {
      const sealable = row as unknown as SealableRow;
      update.run(this.make(sealable), sealable.id);
    }
  }

  count(keyId: string): number {
    const statement = this.#database.prepare(`SELECT count(*) AS n FROM api_keys WHERE ${sealedUnder}`);
    return Number(statement.get(Buffer.from(keyId, 'hex'))?.['n']);
  }

  rows(keyId: string, after: string, limit: number): string[] {
    const statement = `SELECT id FROM api_keys WHERE ${sealedUnder} AND id > ? ORDER BY id LIMIT ?`;
    const rows = this.#database.prepare(statement).all(Buffer.from(keyId, 'hex'), after, limit);
    return rows.map(({ id }) => String(id));
  }

  reseal(id: string): void {
    const row = this.#database.prepare('SELECT * FROM api_keys WHERE id = ?').get(id) as unknown as
      | (SealableRow & { readonly sealed: Uint8Array | null })
      | undefined;
    if (row === undefined) return;
    this.check(row);
    this.#database
      .prepare('UPDATE api_keys SET sealed = ? WHERE id = ? AND sealed IS ?')
      .run(this.make(row), id, row.sealed);
  }
}

/** Of the columns that hold something, by name: a column that is added later leaves the seals as they are. */
function digestOf(row: object): Buffer {
  const columns = Object.entries(row)
    .filter(([name, value]) => value !== null && !uncovered.includes(name))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return hash('sha256', JSON.stringify(columns), 'buffer');
}

function contextOf({ id, tenant }: SealableRow): SealContext {
  return { tenant, purpose: 'api-key', row: id };
}
