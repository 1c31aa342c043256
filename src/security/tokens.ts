import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { z } from 'zod';
import type { Priority } from '../core/priority.ts';
import { priorities } from '../core/priority.ts';
import type { Principal, Role } from '../core/principal.ts';
import { isTenantName, roles } from '../core/principal.ts';
import type { TokenFacts } from '../core/revocation.ts';
import type { Secret } from '../core/secret.ts';
import { checkToken, claimRefused, leewaySeconds } from './token-check.ts';

export interface TokenSettings {
  readonly secret: Secret<string>;
  readonly issuer: string;
  readonly audience: string;
}

export interface TokenGrant {
  readonly subject: string;
  readonly tenant: string;
  readonly role: Role;
  readonly agents: readonly string[] | null;
  /** As a principal's; `null` and `own` where they are left out. */
  readonly models?: readonly string[] | null;
  readonly scope?: Principal['scope'];
  readonly priority?: Priority | undefined;
  /** In seconds. */
  readonly ttl: number;
}

/** A token that proved good, and until when it does, in ms since the Unix epoch. */
export interface VerifiedToken {
  readonly principal: Principal;
  readonly expiresAt: number;
  /** In ms since the Unix epoch; `null` where the token doesn't say. */
  readonly issuedAt: number | null;
}

/** Whoever can tell a good token from another. */
export interface TokenVerifier {
  /**
   * @param now In ms since the Unix epoch.
   * @throws MizanError `invalid_token`, `expired_token` or `issuer_unavailable`.
   */
  verify(token: string, now: number): Promise<VerifiedToken>;
}

/** What every token says, whoever made it. */
export const commonClaims = z.object({
  sub: z.string().min(1).max(200),
  exp: z.number(),
  iat: z.number().optional(),
  jti: z.string().min(1).max(200).optional(),
});

/** The name of a tenant. */
export const tenantClaim = z.string().min(1).max(100).refine(isTenantName);

const claims = commonClaims.extend({
  tenant: tenantClaim.default('default'),
  role: z.enum(roles).default('member'),
  agents: z.array(z.string()).nullish(),
  models: z.array(z.string()).nullish(),
  any_tenant: z.boolean().default(false),
  priority: z.enum(priorities).optional(),
});

/** Signs and verifies JWTs (RFC 7519) with HS256 and one secret; nothing in a token's header changes how. */
export class Tokens implements TokenVerifier {
  readonly issuer: string;
  readonly #audience: string;
  readonly #key: Uint8Array;

  constructor(settings: TokenSettings) {
    this.issuer = settings.issuer;
    this.#audience = settings.audience;
    this.#key = new TextEncoder().encode(settings.secret.reveal());
  }

  /** @param now In ms since the Unix epoch. */
  sign(grant: TokenGrant, now: number): Promise<string> {
    const issuedAt = Math.floor(now / 1000);
    const { tenant, role, agents, models = null, scope = 'own', priority } = grant;
    const limits = { ...(agents === null ? {} : { agents }), ...(models === null ? {} : { models }) };
    const more = { ...(scope === 'any' ? { any_tenant: true } : {}), ...(priority === undefined ? {} : { priority }) };
    return new SignJWT({ tenant, role, ...limits, ...more })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setSubject(grant.subject)
      .setIssuer(this.issuer)
      .setAudience(this.#audience)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + grant.ttl)
      .setJti(randomUUID())
      .sign(this.#key);
  }

  async verify(token: string, now: number): Promise<VerifiedToken> {
    const rules = { issuer: this.issuer, audience: this.#audience, algorithms: ['HS256'] };
    const parsed = claims.safeParse(await checkToken(token, this.#key, rules, now));
    if (!parsed.success) throw claimRefused(parsed.error.issues[0]?.path.join('.') ?? '');
    const { tenant, role, agents = null, models = null, any_tenant: isForAny, priority, ...common } = parsed.data;
    const scope = isForAny ? 'any' : 'own';
    return verified(common, { tenant, role, agents, models, scope, ...(priority === undefined ? {} : { priority }) });
  }
}

/** A token's claims, read, as what the rest of Mizan works with. */
export function verified(
  { sub, exp, iat, jti }: z.output<typeof commonClaims>,
  grant: Omit<Principal, 'subject' | 'via' | 'credential'>,
): VerifiedToken {
  return {
    principal: { subject: sub, ...grant, via: 'jwt', credential: jti ?? null },
    expiresAt: (exp + leewaySeconds) * 1000,
    issuedAt: iat === undefined ? null : iat * 1000,
  };
}

/** What a verified token is compared with revocations by. */
export function tokenFacts({ principal, issuedAt }: VerifiedToken): TokenFacts {
  const { tenant, scope, subject, credential: jti } = principal;
  return { tenant, scope, subject, jti, issuedAt };
}
