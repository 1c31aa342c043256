import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { ApiKeyRecord, ApiKeys } from '../../core/api-key.ts';
import type { Role } from '../../core/principal.ts';
import type { ApiKeysTable } from '../schema.ts';

/** Keys that are remembered. */
const maxRemembered = 10_000;

/**
 * API keys in SQLite. Those that were found are remembered for as long as no other connection has written to the
 * database, so that a key revoked by another process stops at once.
 */
export class SqliteApiKeys implements ApiKeys {
  readonly #remembered = new Map<string, ApiKeyRecord>();
  readonly #version: StatementSync;
  #rememberedVersion: unknown = null;
  readonly #find: StatementSync;
  readonly #list: StatementSync;
  readonly #insert: StatementSync;
  readonly #revoke: StatementSync;

  constructor(database: DatabaseSync) {
    this.#version = database.prepare('PRAGMA data_version');
    this.#find = database.prepare('SELECT * FROM api_keys WHERE id = ?');
    this.#list = database.prepare('SELECT * FROM api_keys ORDER BY created_at, id');
    this.#insert = database.prepare(
      `INSERT INTO api_keys (id, hash, name, tenant, role, agents, created_at, expires_at, revoked_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#revoke = database.prepare('UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL');
  }

  find(id: string): ApiKeyRecord | undefined {
    const version = this.#version.get()?.['data_version'];
    if (version !== this.#rememberedVersion) this.#remembered.clear();
    this.#rememberedVersion = version;
    return this.#remembered.get(id) ?? this.#read(id);
  }

  #read(id: string): ApiKeyRecord | undefined {
    const row = this.#find.get(id);
    if (row === undefined) return undefined;
    const record = recordOf(row as unknown as ApiKeysTable);
    if (this.#remembered.size >= maxRemembered) this.#remembered.clear();
    this.#remembered.set(id, record);
    return record;
  }

  list(): ApiKeyRecord[] {
    return this.#list.all().map((row) => recordOf(row as unknown as ApiKeysTable));
  }

  insert(key: ApiKeyRecord): void {
    const agents = key.agents === null ? null : JSON.stringify(key.agents);
    this.#insert.run(
      key.id,
      key.hash,
      key.name,
      key.tenant,
      key.role,
      agents,
      key.createdAt,
      key.expiresAt,
      key.revokedAt,
    );
  }

  revoke(id: string, at: number): boolean {
    this.#remembered.delete(id);
    return this.#revoke.run(at, id).changes > 0;
  }
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
