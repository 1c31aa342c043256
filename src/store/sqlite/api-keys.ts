import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { ApiKeyRecord, ApiKeys, KeyLimits, SeenApiKey } from '../../core/api-key.ts';
import { noLimits } from '../../core/api-key.ts';
import { MizanError } from '../../core/errors.ts';
import type { Role } from '../../core/principal.ts';
import type { TenantScope } from '../../core/request-record.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { ApiKeysTable } from '../schema.ts';
import type { IdentityEpoch } from './identity-epoch.ts';
import type { RowSeal } from './row-seal.ts';
import { damagedRecordOf } from './damaged-key.ts';
import { inTransaction } from './transaction.ts';

/** What it takes to believe a row, and to go on believing it. */
export interface ApiKeyTrust {
  readonly epoch: IdentityEpoch;
  readonly seal: RowSeal;
  /** Told of a row that is not believed, when it is met. */
  readonly damaged?: ((error: MizanError) => void) | undefined;
}

/** Keys that are remembered. */
const maxRemembered = 10_000;

/**
 * API keys in SQLite. Those that were found are remembered for as long as nobody has changed any, here or in another
 * process, so that a key that is revoked stops at once. A row is believed only where its seal is on it: every row is written
 * by `#write`, and looked at by `#isGenuine` before it is read.
 */
export class SqliteApiKeys implements ApiKeys {
  readonly #database: DatabaseSync;
  readonly #epoch: IdentityEpoch;
  readonly #seal: RowSeal;
  readonly #damaged: (error: MizanError) => void;
  /** `null` for a row that is not believed. */
  readonly #remembered = new Map<string, ApiKeyRecord | null>();
  #rememberedEpoch = -1;
  /** Uses that are not written yet. */
  readonly #uses = new Map<string, number>();
  readonly #find: StatementSync;
  readonly #list: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #writeUse: StatementSync;
  readonly #listUses: StatementSync;

  constructor(database: DatabaseSync, trust: ApiKeyTrust) {
    this.#database = database;
    this.#epoch = trust.epoch;
    this.#seal = trust.seal;
    this.#damaged = trust.damaged ?? (() => {});
    this.#find = database.prepare('SELECT * FROM api_keys WHERE id = ?');
    this.#list = database.prepare('SELECT * FROM api_keys ORDER BY created_at, id');
    this.#insert = database.prepare(
      `INSERT INTO api_keys (${columns.join()}) VALUES (${columns.map((column) => `$${column}`).join()})`,
    );
    this.#update = database.prepare(
      `UPDATE api_keys SET ${columns.map((column) => `${column} = $${column}`).join()} WHERE id = $id`,
    );
    this.#writeUse = database.prepare(
      `INSERT INTO api_key_uses (id, last_used_at) VALUES (?, ?)
       ON CONFLICT DO UPDATE SET last_used_at = max(last_used_at, excluded.last_used_at)`,
    );
    this.#listUses = database.prepare('SELECT id, last_used_at FROM api_key_uses');
  }

  find(id: string): ApiKeyRecord | undefined {
    const epoch = this.#epoch.now();
    if (epoch !== this.#rememberedEpoch) this.#remembered.clear();
    this.#rememberedEpoch = epoch;
    const remembered = this.#remembered.get(id);
    if (remembered !== undefined) return remembered ?? undefined;
    const row = this.#row(id);
    if (row === undefined) return undefined;
    const record = this.#isGenuine(row) ? recordOf(row) : null;
    if (this.#remembered.size >= maxRemembered) this.#remembered.clear();
    this.#remembered.set(id, record);
    return record ?? undefined;
  }

  look(id: string): SeenApiKey | undefined {
    const row = this.#row(id);
    return row === undefined ? undefined : this.#seen(row);
  }

  list(scope: TenantScope): SeenApiKey[] {
    const all = this.#list.all().map((row) => this.#seen(row as unknown as ApiKeysTable));
    return scope === everyTenant ? all : all.filter(({ tenant }) => tenant === scope);
  }

  insert(key: ApiKeyRecord): void {
    inTransaction(this.#database, () => this.#write(this.#insert, rowOf(key)));
  }

  revoke(id: string, at: number): boolean {
    return inTransaction(this.#database, () => {
      const row = this.#row(id);
      if (row === undefined || row.revoked_at !== null) return false;
      // A row that is not believed is revoked, and not made believable.
      this.#write(this.#update, { ...row, revoked_at: at }, this.#isGenuine(row) ? undefined : row.sealed);
      return true;
    });
  }

  rotate(id: string, to: { hash: string; at: number; previousUntil: number }): ApiKeyRecord | undefined {
    const { hash, at, previousUntil } = to;
    return this.#change(id, (key) => ({
      ...key,
      hash,
      rotatedAt: at,
      previous: previousUntil > at ? { hash: key.hash, until: previousUntil } : null,
    }));
  }

  used(id: string, at: number): void {
    this.#uses.set(id, at);
  }

  lastUsed(): ReadonlyMap<string, number> {
    const uses = new Map(this.#listUses.all().map((row) => [String(row['id']), Number(row['last_used_at'])]));
    for (const [id, at] of this.#uses) uses.set(id, Math.max(at, uses.get(id) ?? 0));
    return uses;
  }

  /**
   * Writes uses that were noted, at most so many, so that the event loop isn't held up. Those that can't be written now
   * are kept for the next time.
   * @returns Whether there are more.
   */
  writeUses(limit = Number.POSITIVE_INFINITY): boolean {
    const batch = [...this.#uses.entries().take(limit)];
    if (batch.length === 0) return false;
    inTransaction(this.#database, () => {
      for (const [id, at] of batch) this.#writeUse.run(id, at);
    });
    for (const [id] of batch) this.#uses.delete(id);
    return this.#uses.size > 0;
  }

  /** Changes a key that is not revoked, as it stands in the database now. */
  #change(id: string, change: (key: ApiKeyRecord) => ApiKeyRecord): ApiKeyRecord | undefined {
    return inTransaction(this.#database, () => {
      const row = this.#row(id);
      if (row === undefined || row.revoked_at !== null || !this.#isGenuine(row)) return undefined;
      const changed = change(recordOf(row));
      this.#write(this.#update, rowOf(changed));
      return changed;
    });
  }

  #write(statement: StatementSync, row: Unsealed, sealed: Uint8Array | null = this.#seal.make({ ...row })): void {
    statement.run({ ...row, sealed });
    this.#epoch.raise();
  }

  #row(id: string): ApiKeysTable | undefined {
    return this.#find.get(id) as unknown as ApiKeysTable | undefined;
  }

  #seen(row: ApiKeysTable): SeenApiKey {
    // Whoever looks sees that it is: nobody else needs to be told.
    return this.#isGenuine(row, () => {}) ? recordOf(row) : damagedRecordOf(row);
  }

  #isGenuine(row: ApiKeysTable, damaged = this.#damaged): boolean {
    try {
      this.#seal.check({ ...row });
      return true;
    } catch (error) {
      if (!(error instanceof MizanError && error.code === 'unsealable')) throw error;
      damaged(error);
      return false;
    }
  }
}

type Unsealed = Omit<ApiKeysTable, 'sealed'>;

const columns = [
  'id',
  'hash',
  'name',
  'tenant',
  'role',
  'agents',
  'models',
  'any_tenant',
  'limits',
  'created_at',
  'expires_at',
  'revoked_at',
  'rotated_at',
  'previous_hash',
  'previous_until',
  'sealed',
] as const satisfies readonly (keyof ApiKeysTable)[];

function rowOf(key: ApiKeyRecord): Unsealed {
  const isLimited = Object.values(key.limits).some((limit) => limit !== null);
  return {
    id: key.id,
    hash: key.hash,
    name: key.name,
    tenant: key.tenant,
    role: key.role,
    agents: key.agents === null ? null : JSON.stringify(key.agents),
    models: key.models === null ? null : JSON.stringify(key.models),
    any_tenant: key.scope === 'any' ? 1 : 0,
    limits: isLimited ? JSON.stringify(key.limits) : null,
    created_at: key.createdAt,
    expires_at: key.expiresAt,
    revoked_at: key.revokedAt,
    rotated_at: key.rotatedAt,
    previous_hash: key.previous?.hash ?? null,
    previous_until: key.previous?.until ?? null,
  };
}

function recordOf(row: ApiKeysTable): ApiKeyRecord {
  const { previous_hash: hash, previous_until: until } = row;
  return {
    id: row.id,
    hash: row.hash,
    name: row.name,
    tenant: row.tenant,
    role: row.role as Role,
    agents: row.agents === null ? null : (JSON.parse(row.agents) as string[]),
    models: row.models === null ? null : (JSON.parse(row.models) as string[]),
    scope: row.any_tenant === 1 ? 'any' : 'own',
    limits: row.limits === null ? noLimits : (JSON.parse(row.limits) as KeyLimits),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    rotatedAt: row.rotated_at,
    previous: hash === null || until === null ? null : { hash, until },
  };
}
