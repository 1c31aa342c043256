import type { CryptoKey, JSONWebKeySet, JWTVerifyGetKey } from 'jose';
import { createLocalJWKSet, errors } from 'jose';
import { z } from 'zod';
import type { Clock } from '../core/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { IssuerSettings } from '../core/issuer.ts';
import { isTrustworthyUrl } from '../core/loopback.ts';
import type { JwksFetch } from './jwks-fetch.ts';
import { isSoundKey } from './sound-keys.ts';

/** All in ms. */
export const keyTimes = {
  /** Older keys are fetched again behind the requests that use them. */
  fresh: 600_000,
  /** An issuer is asked no more often than this, whatever tokens say. */
  cooldown: 10_000,
  /** How long a request may wait for an issuer, discovery and keys together. */
  deadline: 3000,
} as const;

/** The longest document that is read, in bytes. */
const maxBytes = 256 * 1024;

/** What becomes of fetching; for the log. */
export interface IssuerEvents {
  /** Once, until it succeeds again. */
  failed(issuer: string, error: unknown): void;
  recovered(issuer: string): void;
}

const discovery = z.object({ issuer: z.string(), jwks_uri: z.string() });
const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(100) });

/**
 * The public keys of an issuer (RFC 7517). Requests wait for the network only where no keys are known yet, or where a
 * token names one that isn't among them, and then no longer than the deadline. Keys that are known stay good while the
 * issuer can't be reached.
 */
export class IssuerKeys {
  readonly #issuer: Pick<IssuerSettings, 'issuer' | 'jwksUri'>;
  readonly #fetch: JwksFetch;
  readonly #clock: Clock;
  readonly #events: IssuerEvents;
  #keys: JWTVerifyGetKey<CryptoKey> | null = null;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | null = null;
  #failure: { readonly cause: unknown } | null = null;

  constructor(
    issuer: Pick<IssuerSettings, 'issuer' | 'jwksUri'>,
    world: { readonly fetch: JwksFetch; readonly clock: Clock; readonly events: IssuerEvents },
  ) {
    this.#issuer = issuer;
    this.#fetch = world.fetch;
    this.#clock = world.clock;
    this.#events = world.events;
  }

  /**
   * The key that a token's header names.
   * @throws MizanError `issuer_unavailable` where it isn't known and the issuer can't be asked; JWKSNoMatchingKey.
   */
  readonly find: JWTVerifyGetKey<CryptoKey> = async (header, token) => {
    if (this.#keys !== null && this.#clock.monotonic() - this.#fetchedAt > keyTimes.fresh) this.refresh();
    if (this.#keys !== null) {
      try {
        return await this.#keys(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      }
    }
    await this.#ask();
    if (this.#failure !== null || this.#keys === null) throw this.#unavailable();
    return this.#keys(header, token);
  };

  /** Fetches the keys behind whatever goes on. */
  refresh(): void {
    void this.#ask();
  }

  /** Joins a fetch that is under way; asks none again that was asked just now. Never rejects. */
  #ask(): Promise<void> {
    if (this.#asking !== null) return this.#asking;
    if (this.#clock.monotonic() - this.#askedAt < keyTimes.cooldown) return Promise.resolve();
    this.#askedAt = this.#clock.monotonic();
    this.#asking = this.#load().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async #load(): Promise<void> {
    const { issuer } = this.#issuer;
    try {
      this.#keys = createLocalJWKSet(await fetchKeySet(this.#issuer, this.#fetch));
      this.#fetchedAt = this.#clock.monotonic();
      if (this.#failure !== null) this.#events.recovered(issuer);
      this.#failure = null;
    } catch (cause) {
      if (this.#failure === null) this.#events.failed(issuer, cause);
      this.#failure = { cause };
    }
  }

  #unavailable(): MizanError {
    return new MizanError('issuer_unavailable', "The keys of the token's issuer can't be had just now.", {
      retryAfterMs: keyTimes.cooldown,
      cause: this.#failure?.cause,
    });
  }
}

/**
 * An issuer's key set, from where the configuration says, or else discovery.
 * @throws anything where it isn't had within the deadline, or isn't one.
 */
export async function fetchKeySet(
  { issuer, jwksUri }: Pick<IssuerSettings, 'issuer' | 'jwksUri'>,
  ask: JwksFetch,
): Promise<JSONWebKeySet> {
  const begun = performance.now();
  const keys = jwksUri ?? (await discover(issuer, ask));
  const isNamed = jwksUri !== null || new URL(keys).origin === new URL(issuer).origin;
  const deadlineMs = Math.max(1, Math.ceil(keyTimes.deadline - (performance.now() - begun)));
  const found = keySet.parse(await ask({ url: keys, namedBy: isNamed ? 'config' : 'caller', maxBytes, deadlineMs }));
  return { ...found, keys: found.keys.filter(isSoundKey) };
}

/** OpenID Connect Discovery 1.0, section 4. */
async function discover(issuer: string, ask: JwksFetch): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const found = discovery.parse(await ask({ url, namedBy: 'config', maxBytes, deadlineMs: keyTimes.deadline }));
  if (found.issuer !== issuer) throw new Error(`${url} is about another issuer`);
  if (!isTrustworthyUrl(found.jwks_uri)) throw new Error(`${url} names keys that are not behind https`);
  return found.jwks_uri;
}
