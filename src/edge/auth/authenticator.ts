import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { ApiKeys } from '../../core/api-key.ts';
import type { Clock } from '../../core/clock.ts';
import { MizanError } from '../../core/errors.ts';
import type { Principal } from '../../core/principal.ts';
import { apiKeyId, apiKeyMatches, apiKeyPrefix } from '../../security/api-keys.ts';
import type { Tokens, VerifiedToken } from '../../security/tokens.ts';

/** Verified tokens that are remembered. */
const maxRemembered = 10_000;

const scheme = /^bearer +([\x21-\x7e]+) *$/i;

/** Finds out who is asking, from `Authorization: Bearer` (RFC 6750) with a JWT or an API key. */
export class Authenticator {
  readonly #tokens: Tokens;
  readonly #apiKeys: ApiKeys;
  readonly #clock: Clock;
  /** By the hash of the whole token: two tokens that share a beginning are two identities. */
  readonly #remembered = new LRUCache<string, VerifiedToken>({ max: maxRemembered });
  /**
   * What came last on each connection that is open. A caller sends the same header again and again, and to compare the
   * whole of it costs a tenth of hashing it.
   */
  readonly #recent = new WeakMap<object, { readonly authorization: string; readonly verified: VerifiedToken }>();

  constructor(tokens: Tokens, apiKeys: ApiKeys, clock: Clock) {
    this.#tokens = tokens;
    this.#apiKeys = apiKeys;
    this.#clock = clock;
  }

  /**
   * At once where nothing has to be computed: an API key, or a token that was verified before.
   * @param connection What the header came on.
   * @throws MizanError (or rejects with one) of type `authentication`.
   */
  authenticate(authorization: string | undefined, connection: object): Principal | Promise<Principal> {
    const recent = this.#recent.get(connection);
    if (recent !== undefined && recent.authorization === authorization && this.#isCurrent(recent.verified)) {
      return recent.verified.principal;
    }
    const credential = authorization === undefined ? undefined : scheme.exec(authorization)?.[1];
    if (authorization === undefined || credential === undefined) {
      throw new MizanError('missing_identity', 'Send "Authorization: Bearer" with a token or an API key.');
    }
    if (credential.startsWith(apiKeyPrefix)) return this.#byApiKey(credential);
    const fingerprint = hash('sha256', credential, 'base64');
    const remembered = this.#remembered.get(fingerprint);
    if (remembered === undefined || !this.#isCurrent(remembered)) return this.#verify(credential, fingerprint);
    this.#recent.set(connection, { authorization, verified: remembered });
    return remembered.principal;
  }

  #isCurrent({ expiresAt }: VerifiedToken): boolean {
    return expiresAt > this.#clock.now();
  }

  async #verify(token: string, fingerprint: string): Promise<Principal> {
    const verified = await this.#tokens.verify(token, this.#clock.now());
    this.#remembered.set(fingerprint, verified);
    return verified.principal;
  }

  #byApiKey(key: string): Principal {
    const id = apiKeyId(key);
    const record = id === null ? undefined : this.#apiKeys.find(id);
    const now = this.#clock.now();
    const isGood =
      apiKeyMatches(key, record) &&
      record !== undefined &&
      record.revokedAt === null &&
      (record.expiresAt === null || record.expiresAt > now);
    if (!isGood) throw new MizanError('invalid_api_key', 'The API key is unknown, revoked or expired.');
    const { name, tenant, role, agents } = record;
    return { subject: name, tenant, role, agents, via: 'api-key' };
  }
}
