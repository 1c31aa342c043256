import type { CryptoKey, JWTPayload, JWTVerifyGetKey } from 'jose';
import { decodeProtectedHeader, errors, jwtVerify } from 'jose';
import { MizanError } from '../core/errors.ts';

/** How far the clocks of issuer and verifier may differ, in seconds. */
export const leewaySeconds = 30;

/** Longer tokens are refused unread. In characters. */
const maxLength = 8192;

/** Longer ids of keys are refused unread. In characters. */
const maxKidLength = 256;

/** What a token must be (RFC 7519), whatever it says itself. */
export interface TokenRules {
  readonly issuer: string;
  /** Any of them. */
  readonly audience: string | readonly string[];
  readonly algorithms: readonly string[];
}

/** A secret, or how a public key is found by a token's header. */
export type TokenKey = Uint8Array | JWTVerifyGetKey<CryptoKey>;

const form = /^[\w-]+\.[\w-]+\.([\w-]+)$/;

/** As RFC 7519 and RFC 9068 write it. Other kinds of JWT are none of ours (RFC 8725, 3.11). */
const types = new Set(['jwt', 'at+jwt']);

/**
 * Checks everything that is the same for all tokens, and its signature. Nothing that a header says makes it fetch
 * anything: `jku`, `x5u`, `jwk` and `x5c` are not looked at, and a `crit` is refused.
 * @param now In ms since the Unix epoch.
 * @returns The claims, of which `iss`, `aud`, `exp`, `nbf` and `iat` are good.
 * @throws MizanError `invalid_token` or `expired_token`, or what finding the key threw.
 */
export async function checkToken(token: string, key: TokenKey, rules: TokenRules, now: number): Promise<JWTPayload> {
  checkForm(token);
  const options = {
    algorithms: [...rules.algorithms],
    issuer: rules.issuer,
    audience: typeof rules.audience === 'string' ? rules.audience : [...rules.audience],
    clockTolerance: leewaySeconds,
    requiredClaims: ['sub', 'exp'],
    currentDate: new Date(now),
  };
  let payload: JWTPayload;
  try {
    // Two overloads, one for each kind of key.
    ({ payload } =
      key instanceof Uint8Array ? await jwtVerify(token, key, options) : await jwtVerify(token, key, options));
  } catch (cause) {
    if (cause instanceof MizanError) throw cause;
    if (cause instanceof errors.JWTExpired) throw new MizanError('expired_token', 'The token has expired.', { cause });
    throw new MizanError('invalid_token', reasonOf(cause, rules), { cause });
  }
  if (payload.iat !== undefined && payload.iat > Math.floor(now / 1000) + leewaySeconds) throw claimRefused('iat');
  return payload;
}

/** What is wrong with a claim of a token whose signature is good. */
export function claimRefused(claim: string): MizanError {
  return new MizanError('invalid_token', `The token's claim "${claim}" is not as expected.`);
}

/**
 * A token has one spelling: no padding or space around it, and no bits set after those of its signature, which readers
 * of base64url pass over.
 */
function checkForm(token: string): void {
  if (token.length > maxLength) throw new MizanError('invalid_token', 'The token is longer than 8 KiB.');
  const signature = form.exec(token)?.[1];
  if (signature === undefined || Buffer.from(signature, 'base64url').toString('base64url') !== signature) {
    throw new MizanError('invalid_token', unreadable);
  }
  const { typ, kid } = headerOf(token);
  if (typ !== undefined && !(typeof typ === 'string' && types.has(typ.toLowerCase().replace(/^application\//, '')))) {
    throw new MizanError('invalid_token', 'The token\'s header "typ" is not accepted.');
  }
  if (kid !== undefined && !(typeof kid === 'string' && kid.length <= maxKidLength)) {
    throw new MizanError('invalid_token', 'The token\'s header "kid" is not accepted.');
  }
}

const unreadable = 'The token is not a JWT that can be read.';

function headerOf(token: string): { readonly typ?: unknown; readonly kid?: unknown } {
  try {
    return decodeProtectedHeader(token);
  } catch (cause) {
    throw new MizanError('invalid_token', unreadable, { cause });
  }
}

function reasonOf(cause: unknown, { algorithms }: TokenRules): string {
  if (cause instanceof errors.JWTClaimValidationFailed) return `The token's claim "${cause.claim}" is not accepted.`;
  if (cause instanceof errors.JWSSignatureVerificationFailed) return "The token's signature is not its issuer's.";
  if (cause instanceof errors.JOSEAlgNotAllowed) {
    const only = `${algorithms.join(', ')} ${algorithms.length === 1 ? 'is' : 'are'}`;
    return `The token's algorithm is not accepted: only ${only}.`;
  }
  if (cause instanceof errors.JWKSNoMatchingKey) return 'The token names a key that its issuer does not have.';
  if (cause instanceof errors.JWKSMultipleMatchingKeys) return 'The token does not name its key (kid).';
  return unreadable;
}
