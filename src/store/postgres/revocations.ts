import type { PoolClient } from 'pg';
import type { TokenRevocationsTable } from '../schema.ts';

/**
 * Sends a revocation that was made here, in the transaction that is open. Others may have revoked the same meanwhile:
 * what reaches furthest, and lasts longest, holds.
 */
export async function sendRevocation(client: PoolClient, made: TokenRevocationsTable): Promise<void> {
  await client.query(
    `INSERT INTO token_revocations AS known (kind, value, tenant, revoked_at, any_revoked_at, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (kind, value, tenant) DO UPDATE SET
       revoked_at = greatest(known.revoked_at, excluded.revoked_at),
       any_revoked_at = greatest(known.any_revoked_at, excluded.any_revoked_at),
       expires_at = CASE WHEN known.expires_at IS NULL OR excluded.expires_at IS NULL THEN NULL
                    ELSE greatest(known.expires_at, excluded.expires_at) END`,
    [made.kind, made.value, made.tenant, made.revoked_at, made.any_revoked_at, made.expires_at],
  );
}
