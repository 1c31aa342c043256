import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { ApiKeys } from '../../core/api-key.ts';
import { noLimits } from '../../core/api-key.ts';
import type { Clock } from '../../core/clock.ts';
import { MizanError } from '../../core/errors.ts';
import type { Principal } from '../../core/principal.ts';
import { isTenantName } from '../../core/principal.ts';
import type { Revocations } from '../../core/revocation.ts';
import { apiKeyId, apiKeyMatches, apiKeyPrefix } from '../../security/api-keys.ts';
import type { TokenVerifier, VerifiedToken } from '../../security/tokens.ts';
import { tokenFacts } from '../../security/tokens.ts';

/** Verified tokens that are remembered. */
const maxRemembered = 10_000;

/** A token that was verified, and the last epoch in which it is known not to be revoked. */
interface Remembered extends VerifiedToken {
  epoch: number;
}

const scheme = /^bearer +([\x21-\x7e]+) *$/i;

/** Finds out who is asking, from `Authorization: Bearer` (RFC 6750) with a JWT or an API key. */
export class Authenticator {
  readonly #tokens: TokenVerifier;
  readonly #apiKeys: ApiKeys;
  readonly #revocations: Revocations;
  readonly #clock: Clock;
  /** By the hash of the whole token: two tokens that share a beginning are two identities. */
  readonly #remembered = new LRUCache<string, Remembered>({ max: maxRemembered });
  /**
   * What came last on each connection that is open. A caller sends the same header again and again, and to compare the
   * whole of it costs a tenth of hashing it.
   */
  readonly #recent = new WeakMap<object, { readonly authorization: string; readonly verified: Remembered }>();

  constructor(tokens: TokenVerifier, apiKeys: ApiKeys, revocations: Revocations, clock: Clock) {
    this.#tokens = tokens;
    this.#apiKeys = apiKeys;
    this.#revocations = revocations;
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

  /** What was true in an epoch is true until the next one; then it is looked at again, once. */
  #isCurrent(verified: Remembered): boolean {
    if (verified.expiresAt <= this.#clock.now()) return false;
    const { epoch } = this.#revocations;
    if (verified.epoch === epoch) return true;
    if (this.#revocations.isRevoked(tokenFacts(verified))) return false;
    verified.epoch = epoch;
    return true;
  }

  async #verify(token: string, fingerprint: string): Promise<Principal> {
    const remembered = await this.verifyToken(token);
    this.#remembered.set(fingerprint, remembered);
    return remembered.principal;
  }

  /**
   * A token that is nobody's header, looked at in full.
   * @throws MizanError (rejects) of type `authentication`, or `issuer_unavailable`.
   */
  async verifyToken(token: string): Promise<Remembered> {
    const verified = await this.#tokens.verify(token, this.#clock.now());
    const { epoch } = this.#revocations;
    if (this.#revocations.isRevoked(tokenFacts(verified))) {
      throw new MizanError('revoked_token', 'The token was revoked.');
    }
    return { ...verified, epoch };
  }

  #byApiKey(key: string): Principal {
    const id = apiKeyId(key);
    const record = id === null ? undefined : this.#apiKeys.find(id);
    const now = this.#clock.now();
    const isGood =
      apiKeyMatches(key, record, now) &&
      record !== undefined &&
      record.revokedAt === null &&
      // From before that name was kept for Mizan itself.
      isTenantName(record.tenant) &&
      (record.expiresAt === null || record.expiresAt > now);
    if (!isGood) throw new MizanError('invalid_api_key', 'The API key is unknown, revoked or expired.');
    this.#apiKeys.used(record.id, now);
    const { name, tenant, role, agents, models, scope, limits } = record;
    const known = {
      subject: name,
      tenant,
      role,
      agents,
      models,
      scope,
      via: 'api-key',
      credential: record.id,
    } as const;
    return limits === noLimits ? known : { ...known, limits };
  }
}
