import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { ApiKeyRecord, ApiKeys } from '../../core/api-key.ts';
import type { Role } from '../../core/principal.ts';
import type { ApiKeysTable } from '../schema.ts';

/** API keys in SQLite. Each look-up reads the table, so that a key revoked by another process stops at once. */
export class SqliteApiKeys implements ApiKeys {
  readonly #find: StatementSync;
  readonly #list: StatementSync;
  readonly #insert: StatementSync;
  readonly #revoke: StatementSync;

  constructor(database: DatabaseSync) {
    this.#find = database.prepare('SELECT * FROM api_keys WHERE id = ?');
    this.#list = database.prepare('SELECT * FROM api_keys ORDER BY created_at, id');
    this.#insert = database.prepare(
      `INSERT INTO api_keys (id, hash, name, tenant, role, agents, created_at, expires_at, revoked_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#revoke = database.prepare('UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL');
  }

  find(id: string): ApiKeyRecord | undefined {
    const row = this.#find.get(id);
    return row === undefined ? undefined : recordOf(row as unknown as ApiKeysTable);
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
