import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { ApiKeyRecord, ApiKeys } from '../../core/api-key.ts';
import { MizanError } from '../../core/errors.ts';
import type { Role } from '../../core/principal.ts';
import type { ApiKeysTable } from '../schema.ts';
import type { RowSeal } from './row-seal.ts';

/** Keys that are remembered. */
const maxRemembered = 10_000;

/**
 * API keys in SQLite. Those that were found are remembered for as long as no other connection has written to the
 * database, so that a key revoked by another process stops at once. A row is believed only where its seal is on it.
 */
export class SqliteApiKeys implements ApiKeys {
  /** `null` for a row that is not believed. */
  readonly #remembered = new Map<string, ApiKeyRecord | null>();
  readonly #seal: RowSeal;
  readonly #damaged: (error: MizanError) => void;
  readonly #version: StatementSync;
  #rememberedVersion: unknown = null;
  readonly #find: StatementSync;
  readonly #list: StatementSync;
  readonly #insert: StatementSync;
  readonly #revoke: StatementSync;

  /** @param damaged Told of a row that is not believed, when it is met. */
  constructor(database: DatabaseSync, seal: RowSeal, damaged: (error: MizanError) => void = () => {}) {
    this.#seal = seal;
    this.#damaged = damaged;
    this.#version = database.prepare('PRAGMA data_version');
    this.#find = database.prepare('SELECT * FROM api_keys WHERE id = ?');
    this.#list = database.prepare('SELECT * FROM api_keys ORDER BY created_at, id');
    this.#insert = database.prepare(
      `INSERT INTO api_keys (id, hash, name, tenant, role, agents, created_at, expires_at, revoked_at, sealed)
       VALUES (:id, :hash, :name, :tenant, :role, :agents, :created_at, :expires_at, :revoked_at, :sealed)`,
    );
    this.#revoke = database.prepare(
      'UPDATE api_keys SET revoked_at = :at, sealed = :sealed WHERE id = :id AND revoked_at IS NULL AND sealed IS :old',
    );
  }

  find(id: string): ApiKeyRecord | undefined {
    const version = this.#version.get()?.['data_version'];
    if (version !== this.#rememberedVersion) this.#remembered.clear();
    this.#rememberedVersion = version;
    const remembered = this.#remembered.get(id);
    return remembered === undefined ? this.#read(id) : (remembered ?? undefined);
  }

  #read(id: string): ApiKeyRecord | undefined {
    const row = this.#row(id);
    if (row === undefined) return undefined;
    const isGenuine = this.#isGenuine(row);
    if (this.#remembered.size >= maxRemembered) this.#remembered.clear();
    this.#remembered.set(id, isGenuine ? recordOf(row) : null);
    return isGenuine ? recordOf(row) : undefined;
  }

  #row(id: string): ApiKeysTable | undefined {
    return this.#find.get(id) as unknown as ApiKeysTable | undefined;
  }

  #isGenuine(row: ApiKeysTable): boolean {
    try {
      this.#seal.check({ ...row });
      return true;
    } catch (error) {
      if (!(error instanceof MizanError && error.code === 'unsealable')) throw error;
      this.#damaged(error);
      return false;
    }
  }

  list(): ApiKeyRecord[] {
    return this.#list.all().map((row) => recordOf(row as unknown as ApiKeysTable));
  }

  insert(key: ApiKeyRecord): void {
    const row = rowOf(key);
    this.#insert.run({ ...row, sealed: this.#seal.make({ ...row }) });
  }

  revoke(id: string, at: number): boolean {
    this.#remembered.delete(id);
    // Another process may have sealed the row anew between our reading and writing it.
    for (;;) {
      const row = this.#row(id);
      if (row === undefined || row.revoked_at !== null) return false;
      // A row that is not believed is revoked, and not made believable.
      const sealed = this.#isGenuine(row) ? this.#seal.make({ ...row, revoked_at: at }) : row.sealed;
      if (this.#revoke.run({ at, id, sealed, old: row.sealed }).changes > 0) return true;
    }
  }
}

function rowOf(key: ApiKeyRecord): Omit<ApiKeysTable, 'sealed'> {
  return {
    id: key.id,
    hash: key.hash,
    name: key.name,
    tenant: key.tenant,
    role: key.role,
    agents: key.agents === null ? null : JSON.stringify(key.agents),
    created_at: key.createdAt,
    expires_at: key.expiresAt,
    revoked_at: key.revokedAt,
  };
}

function recordOf(row: ApiKeysTable): ApiKeyRecord {
  return {
    id: row.id,
    hash: row.hash,
    name: row.name,
    tenant: row.tenant,
    role: row.role as Role,
    agents: row.agents === null ? null : (JSON.parse(row.agents) as string[]),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  };
}
