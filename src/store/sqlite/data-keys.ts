import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { SealPurpose } from '../../core/sealing.ts';
import type { DataKey, DataKeys } from '../../security/key-ring.ts';
import type { DataKeysTable } from '../schema.ts';

/** Data keys in SQLite, wrapped. One connection of each thread that seals. */
export class SqliteDataKeys implements DataKeys {
  readonly #database: DatabaseSync;
  readonly #version: StatementSync;
  readonly #find: StatementSync;
  readonly #active: StatementSync;
  readonly #listOf: StatementSync;
  readonly #list: StatementSync;
  readonly #insert: StatementSync;
  readonly #reserve: StatementSync;
  readonly #retire: StatementSync;
  readonly #rewrap: StatementSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#version = database.prepare('PRAGMA data_version');
    this.#find = database.prepare('SELECT * FROM data_keys WHERE id = ?');
    this.#active = database.prepare(`SELECT * FROM data_keys WHERE tenant = ? AND purpose = ? AND state = 'active'`);
    this.#listOf = database.prepare(
      'SELECT * FROM data_keys WHERE tenant = ? AND purpose = ? ORDER BY state, created_at DESC, id',
    );
    this.#list = database.prepare('SELECT * FROM data_keys ORDER BY tenant, purpose, created_at, id');
    this.#insert = database.prepare(`
      INSERT INTO data_keys (id, tenant, purpose, state, master, wrapped, uses, created_at, retired_at)
      SELECT :id, :tenant, :purpose, :state, :master, :wrapped, :uses, :createdAt, :retiredAt
      WHERE NOT EXISTS (SELECT 1 FROM data_keys)
        OR EXISTS (SELECT 1 FROM data_keys WHERE master = :master)
      ON CONFLICT DO NOTHING`);
    this.#reserve = database.prepare(
      `UPDATE data_keys SET uses = uses + :count
       WHERE id = :id AND state IN (:first, :second) AND uses + :count <= :limit`,
    );
    this.#retire = database.prepare(
      `UPDATE data_keys SET state = 'retired', retired_at = ? WHERE id = ? AND state = 'active'`,
    );
    this.#rewrap = database.prepare('UPDATE data_keys SET master = ?, wrapped = ? WHERE id = ?');
  }

  version(): unknown {
    return this.#version.get()?.['data_version'];
  }

  find(id: string): DataKey | undefined {
    return keyOf(this.#find.get(id));
  }

  active(tenant: string, purpose: SealPurpose): DataKey | undefined {
    return keyOf(this.#active.get(tenant, purpose));
  }

  listOf(tenant: string, purpose: SealPurpose): DataKey[] {
    return this.#listOf.all(tenant, purpose).flatMap((row) => keyOf(row) ?? []);
  }

  list(): DataKey[] {
    return this.#list.all().flatMap((row) => keyOf(row) ?? []);
  }

  masters(): string[] {
    return this.#database
      .prepare('SELECT DISTINCT master FROM data_keys ORDER BY master')
      .all()
      .map(({ master }) => String(master));
  }

  insert({ id, tenant, purpose, state, master, wrapped, uses, createdAt, retiredAt }: DataKey): void {
    this.#insert.run({ id, tenant, purpose, state, master, wrapped, uses, createdAt, retiredAt });
  }

  reserve(id: string, count: number, limit: number, states: readonly DataKey['state'][]): boolean {
    const [first = null, second = null] = states;
    return this.#reserve.run({ id, count, limit, first, second }).changes > 0;
  }

  retire(id: string, at: number): void {
    this.#retire.run(at, id);
  }

  rewrap(change: (key: DataKey) => Pick<DataKey, 'master' | 'wrapped'> | null): number {
    return this.#transaction(() => {
      let changed = 0;
      for (const key of this.list()) {
        const next = change(key);
        if (next === null) continue;
        this.#rewrap.run(next.master, next.wrapped, key.id);
        changed++;
      }
      return changed;
    });
  }

  /** Removes the retired key, if `isNeeded` still says no once nobody else can write. Whether it did. */
  drop(id: string, isNeeded: () => boolean): boolean {
    return this.#transaction(() => {
      if (isNeeded()) return false;
      return this.#database.prepare(`DELETE FROM data_keys WHERE id = ? AND state = 'retired'`).run(id).changes > 0;
    });
  }

  /** Removes all keys of a tenant, whatever needs them. */
  dropTenant(tenant: string): void {
    this.#database.prepare('DELETE FROM data_keys WHERE tenant = ?').run(tenant);
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }
}

function keyOf(row: unknown): DataKey | undefined {
  if (row === undefined) return undefined;
  const { id, tenant, purpose, state, master, wrapped, uses, ...times } = row as DataKeysTable;
  return {
    id,
    tenant,
    purpose: purpose as SealPurpose,
    state: state as DataKey['state'],
    master,
    wrapped,
    uses,
    createdAt: times.created_at,
    retiredAt: times.retired_at,
  };
}
