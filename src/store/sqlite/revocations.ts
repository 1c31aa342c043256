import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { TenantScope } from '../../core/request-record.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { Revocation, Revocations, TokenFacts } from '../../core/revocation.ts';
import type { TokenRevocationsTable } from '../schema.ts';
import type { IdentityEpoch } from './identity-epoch.ts';
import { inTransaction } from './transaction.ts';

/** Revocations in SQLite. They are asked when a token is verified, and again when the epoch has changed. */
export class SqliteRevocations implements Revocations {
  readonly #database: DatabaseSync;
  readonly #epoch: IdentityEpoch;
  readonly #find: StatementSync;
  readonly #add: StatementSync;
  readonly #clean: StatementSync;
  readonly #list: StatementSync;

  constructor(database: DatabaseSync, epoch: IdentityEpoch) {
    this.#database = database;
    this.#epoch = epoch;
    this.#find = database.prepare(
      `SELECT 1 FROM token_revocations
       WHERE tenant IN ('', $tenant)
         AND (kind = 'jti' AND value = $jti OR kind = 'sub' AND value = $subject)
         AND CASE $scope WHEN 'any' THEN any_revoked_at ELSE revoked_at END
           >= CASE kind WHEN 'sub' THEN $issuedAt ELSE 0 END
       LIMIT 1`,
    );
    this.#add = database.prepare(
      `INSERT INTO token_revocations (kind, value, tenant, revoked_at, any_revoked_at, expires_at)
       VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET
         revoked_at = max(revoked_at, excluded.revoked_at),
         any_revoked_at = coalesce(max(any_revoked_at, excluded.any_revoked_at), any_revoked_at, excluded.any_revoked_at),
         expires_at = CASE WHEN expires_at IS NULL OR excluded.expires_at IS NULL THEN NULL
                      ELSE max(expires_at, excluded.expires_at) END`,
    );
    this.#clean = database.prepare('DELETE FROM token_revocations WHERE expires_at <= ?');
    this.#list = database.prepare(
      `SELECT * FROM token_revocations WHERE (expires_at IS NULL OR expires_at > ?)
       ORDER BY revoked_at DESC, kind, value, tenant`,
    );
  }

  get epoch(): number {
    return this.#epoch.recent();
  }

  isRevoked({ tenant, scope, subject, jti, issuedAt }: TokenFacts): boolean {
    return this.#find.get({ tenant, scope, subject, jti, issuedAt: issuedAt ?? 0 }) !== undefined;
  }

  add({ kind, value, tenant, scope, revokedAt, expiresAt }: Revocation): void {
    inTransaction(this.#database, () => {
      this.#clean.run(revokedAt);
      this.#add.run(kind, value, tenant ?? '', revokedAt, scope === 'any' ? revokedAt : null, expiresAt);
      this.#epoch.raise();
    });
  }

  list(scope: TenantScope, now: number): Revocation[] {
    const all = this.#list.all(now).flatMap((row) => revocationsOf(row as unknown as TokenRevocationsTable));
    return scope === everyTenant ? all : all.filter(({ tenant }) => tenant === null || tenant === scope);
  }
}

/** Where two reach differently far, the row has both. */
function revocationsOf(row: TokenRevocationsTable): Revocation[] {
  const { value, revoked_at: revokedAt, any_revoked_at: anyRevokedAt, expires_at: expiresAt } = row;
  const whose = { kind: row.kind as Revocation['kind'], value, tenant: row.tenant === '' ? null : row.tenant };
  const made: Revocation[] = [];
  if (anyRevokedAt !== revokedAt) made.push({ ...whose, scope: 'own', revokedAt, expiresAt });
  if (anyRevokedAt !== null) made.push({ ...whose, scope: 'any', revokedAt: anyRevokedAt, expiresAt });
  return made;
}
