import type { Principal } from './principal.ts';
import type { TenantScope } from './request-record.ts';

/** Tokens that are taken back before they expire: one by its `jti`, or all that a subject had until then. */
export interface Revocation {
  readonly kind: 'jti' | 'sub';
  /** The `jti`, or the subject. */
  readonly value: string;
  /** Whose tokens; `null` for every tenant's. */
  readonly tenant: string | null;
  /**
   * Whom it reaches: by somebody who looks after one tenant, `own`, none of those who look after every tenant; `any`,
   * them too.
   */
  readonly scope: Principal['scope'];
  /** In ms since the Unix epoch; likewise below. Of a subject's tokens, those issued until then are refused. */
  readonly revokedAt: number;
  /** When there is nothing left that it could refuse; `null` where nobody knows. */
  readonly expiresAt: number | null;
}

/** What a revocation is compared with. */
export interface TokenFacts {
  readonly tenant: string;
  readonly scope: Principal['scope'];
  readonly subject: string;
  readonly jti: string | null;
  /** In ms since the Unix epoch; `null` where the token doesn't say, and then it counts as old. */
  readonly issuedAt: number | null;
}

/** Where revocations are kept. */
export interface Revocations {
  /**
   * Another number whenever something that had been granted may have been taken back: at once for what this process
   * did, within `epochLagMs` for what another one did on the same data. Cheap enough to compare at every request.
   */
  readonly epoch: number;
  isRevoked(token: TokenFacts): boolean;
  /** Holds from the moment it returns. What has expired by `revokedAt` is thrown away on the way. */
  add(revocation: Revocation): void;
  /** Newest first, without those that have expired. */
  list(scope: TenantScope, now: number): Revocation[];
}

/** The longest that another process's revocation may go unseen, in ms. */
export const epochLagMs = 250;

/** A revocation as it is shown outside. */
export function publicRevocation({ kind, value, tenant, scope, revokedAt, expiresAt }: Revocation) {
  return {
    [kind]: value,
    tenant,
    any_tenant: scope === 'any',
    revoked_at: new Date(revokedAt).toISOString(),
    expires_at: expiresAt === null ? null : new Date(expiresAt).toISOString(),
  };
}
