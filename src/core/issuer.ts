import type { Role } from './principal.ts';

/** Signatures that a key set of public keys can prove (RFC 7518, RFC 8037). */
export const issuerAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

/** Somebody else whose tokens are taken, and what they may say. */
export interface IssuerSettings {
  /** The `iss` of its tokens, to the letter; with OpenID Connect Discovery, also where it is found. */
  readonly issuer: string;
  /** The `aud` that is ours; any of them. */
  readonly audience: readonly string[];
  readonly algorithms: readonly (typeof issuerAlgorithms)[number][];
  /** `null` where discovery says it. */
  readonly jwksUri: string | null;
  /** Where its tokens say what; `null` where they don't. */
  readonly claims: {
    readonly tenant: string | null;
    readonly role: string | null;
    readonly agents: string | null;
    readonly models: string | null;
  };
  /** Whose they are, where `claims.tenant` is `null`. */
  readonly tenant: string;
  /** From what stands in the claim of the role to a role; where it is empty, the claim holds roles. */
  readonly roles: Readonly<Record<string, Role>>;
  readonly defaultRole: Role;
  /** No token of this issuer is worth more. */
  readonly maxRole: Role;
  /** Those in whose claim of the role one of these stands may look after every tenant. */
  readonly anyTenant: readonly string[];
}
