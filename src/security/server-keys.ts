import { generateKeyPairSync } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { MessageJwk, MessageKey } from './message-key.ts';
import { messageKeyOf } from './message-key.ts';
import type { SealedValues } from './sealed-values.ts';

/** How long a key pair still opens after another has taken its place: callers may have kept it. In ms. */
const overlapMs = 24 * 3_600_000;

interface ServerKey {
  readonly key: MessageKey;
  readonly published: MessageJwk;
  readonly createdAt: number;
}

/** The server's own key pairs, to whose public halves anybody can encrypt: one on P-256 and one with X25519. */
export class ServerKeys {
  readonly #values: SealedValues;
  readonly #clock: Clock;
  #keys: readonly ServerKey[] = [];
  #version: unknown = null;

  constructor(values: SealedValues, clock: Clock) {
    this.#values = values;
    this.#clock = clock;
  }

  /** The public keys to encrypt to now, as a JWK Set (RFC 7517 §5). */
  published(): { readonly keys: readonly MessageJwk[] } {
    // In one order always: two that were made in the same millisecond have none of their own.
    const newest = new Map(this.#all().map(({ published }) => [published['crv'], published]));
    return { keys: [...newest.values()].toSorted((a, b) => (String(a['crv']) < String(b['crv']) ? -1 : 1)) };
  }

  find(kid: string): MessageKey | undefined {
    return this.#all().find(({ key }) => key.kid === kid)?.key;
  }

  /** Makes a new pair of each kind, and drops those whose time is over. */
  renew(): void {
    this.#make();
    this.#version = null;
    this.sweep();
  }

  #make(): void {
    for (const make of [
      () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
      () => generateKeyPairSync('x25519', {}),
    ]) {
      const jwk = make().privateKey.export({ format: 'jwk' }) as MessageJwk;
      this.#values.put('server-key', messageKeyOf(jwk).kid, Buffer.from(JSON.stringify(jwk)));
    }
  }

  /** Drops the pairs that were replaced long enough ago. */
  sweep(): void {
    const replacedBefore = this.#clock.now() - overlapMs;
    const all = this.#all();
    for (const [i, { key, published }] of all.entries()) {
      const next = all.slice(i + 1).find((later) => later.published['crv'] === published['crv']);
      if (next === undefined || next.createdAt >= replacedBefore) continue;
      this.#values.remove('server-key', key.kid);
      this.#version = null;
    }
  }

  #all(): readonly ServerKey[] {
    const version = this.#values.version();
    if (version === this.#version) return this.#keys;
    if (this.#values.list('server-key').length === 0) this.#make();
    this.#keys = this.#values.list('server-key').flatMap(({ name, createdAt }) => this.#read(name, createdAt));
    this.#version = version;
    return this.#keys;
  }

  #read(name: string, createdAt: number): ServerKey | [] {
    const value = this.#values.get('server-key', name);
    if (value === undefined) return [];
    const jwk = JSON.parse(value.toString()) as MessageJwk;
    const key = messageKeyOf({ ...jwk, kid: name });
    if (key.decrypts === null) throw new MizanError('internal', `The server's key ${name} is not a private one.`);
    const { d: _private, ...point } = jwk;
    return { key, createdAt, published: { ...point, kid: name, use: 'enc', alg: key.algorithm } };
  }
}
