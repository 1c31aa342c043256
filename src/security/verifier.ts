import { decodeJwt } from 'jose';
import type { TokenVerifier, VerifiedToken } from './tokens.ts';

/**
 * Whom a token claims to be from decides who checks it, and whoever checks it checks that too. So the secret is never
 * tried on another's token, nor another's keys on ours.
 */
export class Verifier implements TokenVerifier {
  readonly #own: TokenVerifier;
  readonly #byIssuer: ReadonlyMap<string, TokenVerifier>;

  constructor(own: TokenVerifier, issuers: readonly (TokenVerifier & { readonly issuer: string })[]) {
    this.#own = own;
    this.#byIssuer = new Map(issuers.map((issuer) => [issuer.issuer, issuer]));
  }

  verify(token: string, now: number): Promise<VerifiedToken> {
    const issuer = this.#byIssuer.size === 0 ? undefined : this.#byIssuer.get(issuerOf(token));
    return (issuer ?? this.#own).verify(token, now);
  }
}

/** Who a token says it is from; empty where it doesn't, or is too long to be looked at. */
function issuerOf(token: string): string {
  if (token.length > 8192) return '';
  try {
    return decodeJwt(token).iss ?? '';
  } catch {
    return '';
  }
}
