import { randomUUID } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { MizanError } from '../core/errors.ts';
import type { Principal, Role } from '../core/principal.ts';
import { roles } from '../core/principal.ts';
import type { Secret } from '../core/secret.ts';

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
  /** In seconds. */
  readonly ttl: number;
}

/** A token that proved good, and until when it does, in ms since the Unix epoch. */
export interface VerifiedToken {
  readonly principal: Principal;
  readonly expiresAt: number;
}

/** How far the clocks of issuer and verifier may differ, in seconds. */
const leewaySeconds = 30;

/** Longer tokens are refused unread. In characters. */
const maxLength = 8192;

/**
 * A token has one spelling: no padding or space around it, and no bits set after the 256 of its signature, which
 * readers of base64url pass over.
 */
const canonical = /^[\w-]+\.[\w-]+\.[\w-]{42}[AEIMQUYcgkosw048]$/;

const claims = z.object({
  sub: z.string().min(1).max(200),
  exp: z.number(),
  tenant: z.string().min(1).max(100).default('default'),
  role: z.enum(roles).default('member'),
  agents: z.array(z.string()).nullish(),
});

/** Signs and verifies JWTs (RFC 7519) with HS256 and one secret; nothing in a token's header changes how. */
export class Tokens {
  readonly #settings: TokenSettings;
  readonly #key: Uint8Array;

  constructor(settings: TokenSettings) {
    this.#settings = settings;
    this.#key = new TextEncoder().encode(settings.secret.reveal());
  }

  /** @param now In ms since the Unix epoch. */
  sign(grant: TokenGrant, now: number): Promise<string> {
    const issuedAt = Math.floor(now / 1000);
    const { tenant, role, agents } = grant;
    return new SignJWT({ tenant, role, ...(agents === null ? {} : { agents }) })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setSubject(grant.subject)
      .setIssuer(this.#settings.issuer)
      .setAudience(this.#settings.audience)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + grant.ttl)
      .setJti(randomUUID())
      .sign(this.#key);
  }

  /**
   * @param now In ms since the Unix epoch.
   * @throws MizanError `invalid_token` or `expired_token`.
   */
  async verify(token: string, now: number): Promise<VerifiedToken> {
    if (token.length > maxLength) throw new MizanError('invalid_token', 'The token is longer than 8 KiB.');
    let payload: unknown;
    try {
      const verified = await jwtVerify(token, this.#key, {
        algorithms: ['HS256'],
        issuer: this.#settings.issuer,
        audience: this.#settings.audience,
        clockTolerance: leewaySeconds,
        requiredClaims: ['sub', 'exp'],
        currentDate: new Date(now),
      });
      payload = verified.payload;
    } catch (cause) {
      if (cause instanceof errors.JWTExpired)
        throw new MizanError('expired_token', 'The token has expired.', { cause });
      throw new MizanError('invalid_token', reasonOf(cause), { cause });
    }
    if (!canonical.test(token)) throw new MizanError('invalid_token', 'The token is not a JWT that can be read.');
    const parsed = claims.safeParse(payload);
    if (!parsed.success) {
      const claim = parsed.error.issues[0]?.path.join('.') ?? '';
      throw new MizanError('invalid_token', `The token's claim "${claim}" is not as expected.`);
    }
    const { sub, exp, tenant, role, agents } = parsed.data;
    return {
      principal: { subject: sub, tenant, role, agents: agents ?? null, via: 'jwt' },
      expiresAt: (exp + leewaySeconds) * 1000,
    };
  }
}

function reasonOf(cause: unknown): string {
  if (cause instanceof errors.JWTClaimValidationFailed) return `The token's claim "${cause.claim}" is not accepted.`;
  if (cause instanceof errors.JWSSignatureVerificationFailed) return "The token's signature is not ours.";
  if (cause instanceof errors.JOSEAlgNotAllowed) return "The token's algorithm is not accepted: only HS256 is.";
  return 'The token is not a JWT that can be read.';
}
