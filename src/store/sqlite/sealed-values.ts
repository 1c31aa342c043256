import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Clock } from '../../core/clock.ts';
import type { SealContext, Sealing } from '../../core/sealing.ts';
import type { SealedValues, ValueFacts, ValueKind } from '../../security/sealed-values.ts';
import type { SealedRoom } from '../../security/rotation.ts';

/** What begins at the second byte of an envelope: the id of the key that sealed it. */
export const sealedUnder = 'substr(sealed, 2, 8) = ?';

/** Sealed values in SQLite. */
export class SqliteSealedValues implements SealedValues, SealedRoom {
  readonly purpose = 'secret';
  readonly #database: DatabaseSync;
  readonly #sealing: Sealing;
  readonly #clock: Clock;
  readonly #get: StatementSync;

  constructor(database: DatabaseSync, sealing: Sealing, clock: Clock) {
    this.#database = database;
    this.#sealing = sealing;
    this.#clock = clock;
    this.#get = database.prepare('SELECT sealed FROM sealed_values WHERE kind = ? AND name = ?');
  }

  get(kind: ValueKind, name: string): Buffer | undefined {
    const sealed = this.#get.get(kind, name)?.['sealed'] as Uint8Array | undefined;
    return sealed === undefined ? undefined : this.#sealing.open(sealed, contextOf(kind, name));
  }

  list(kind: ValueKind): ValueFacts[] {
    const statement = 'SELECT name, created_at, updated_at FROM sealed_values WHERE kind = ? ORDER BY created_at, name';
    return this.#database
      .prepare(statement)
      .all(kind)
      .map((row) => ({
        name: String(row['name']),
        createdAt: Number(row['created_at']),
        updatedAt: Number(row['updated_at']),
      }));
  }

  put(kind: ValueKind, name: string, value: Uint8Array): void {
    const sealed = this.#sealing.seal(value, contextOf(kind, name));
    const now = this.#clock.now();
    this.#database
      .prepare(
        `INSERT INTO sealed_values (kind, name, sealed, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (kind, name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at`,
      )
      .run(kind, name, sealed, now, now);
  }

  remove(kind: ValueKind, name: string): boolean {
    return this.#database.prepare('DELETE FROM sealed_values WHERE kind = ? AND name = ?').run(kind, name).changes > 0;
  }

  version(): unknown {
    return this.#database.prepare('PRAGMA data_version').get()?.['data_version'];
  }

  count(keyId: string): number {
    const row = this.#database.prepare(`SELECT count(*) AS n FROM sealed_values WHERE ${sealedUnder}`);
    return Number(row.get(Buffer.from(keyId, 'hex'))?.['n']);
  }

  rows(keyId: string, after: string, limit: number): string[] {
    const statement = `SELECT kind || '/' || name AS row FROM sealed_values
      WHERE ${sealedUnder} AND kind || '/' || name > ? ORDER BY kind || '/' || name LIMIT ?`;
    const rows = this.#database.prepare(statement).all(Buffer.from(keyId, 'hex'), after, limit);
    return rows.map(({ row }) => String(row));
  }

  reseal(row: string): void {
    const [kind = '', name = ''] = row.split('/', 2);
    const old = this.#get.get(kind, name)?.['sealed'] as Uint8Array | undefined;
    if (old === undefined) return;
    const context = contextOf(kind as ValueKind, name);
    const sealed = this.#sealing.seal(this.#sealing.open(old, context), context);
    this.#database
      .prepare('UPDATE sealed_values SET sealed = ? WHERE kind = ? AND name = ? AND sealed = ?')
      .run(sealed, kind, name, old);
  }
}

function contextOf(kind: ValueKind, name: string): SealContext {
  return { tenant: 'system', purpose: 'secret', row: `${kind}/${name}` };
}
