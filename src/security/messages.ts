import { MizanError } from '../core/errors.ts';
import { systemTenantName } from '../core/principal.ts';
import type { MessageKeyRing } from './ai-security.ts';
import type { OpenedMessage } from './jwe.ts';
import { decryptMessage, encryptMessage, undecryptable } from './jwe.ts';
import type { HeldKey, KeyRing } from './key-ring.ts';
import type { MessageJwk, MessageKey } from './message-key.ts';
import { messageKeyOf } from './message-key.ts';
import type { MessageName, SeenMessages } from './seen-messages.ts';
import type { ServerKeys } from './server-keys.ts';

/** An encrypted request. */
export interface OpenedRequest {
  readonly data: Buffer;
  /** @throws MizanError `invalid_request` where its time is over or none, `replayed_message` the second time. */
  readonly enter: (now: number) => void;
  /** Encrypts an answer, or a part of one, to whoever asked; `about` goes into its header. */
  readonly reply: (
    data: string | Uint8Array,
    about?: { readonly seq: number; readonly event: string },
  ) => Promise<string>;
}

/** How long after its `iat` a request is taken, and how far the clocks may differ, in seconds. */
const lifetime = 300;
const leeway = 30;

/** Messages between callers and this server, in JWE. */
export class Messages {
  readonly #ring: KeyRing;
  readonly #serverKeys: ServerKeys;
  readonly #seen: SeenMessages;

  constructor(from: { readonly ring: KeyRing; readonly serverKeys: ServerKeys; readonly seenMessages: SeenMessages }) {
    this.#ring = from.ring;
    this.#serverKeys = from.serverKeys;
    this.#seen = from.seenMessages;
  }

  /** The public keys that anybody may encrypt requests to, as a JWK Set. */
  published(): { readonly keys: readonly MessageJwk[] } {
    return this.#serverKeys.published();
  }

  /** The tenant's own keys: what they encrypt, no other tenant's open. */
  ringOf(tenant: string): MessageKeyRing {
    return {
      current: () => keyOf(this.#ring.take(tenant, 'message')),
      find: (kid) => {
        if (kid === undefined) return this.#ring.findAll(tenant, 'message').map(keyOf);
        const key = this.#ring.find(kid, tenant, 'message');
        return key === undefined ? [] : [keyOf(key)];
      },
    };
  }

  /**
   * Opens a request that was encrypted with the tenant's key, or to one of the server's.
   * @throws MizanError `undecryptable`; `invalid_request` where it can't be answered, `internal` where Mizan can't.
   */
  async openRequest(token: string, tenant: string): Promise<OpenedRequest> {
    const ring = this.ringOf(tenant);
    const opened = await decryptMessage(token, (kid) => {
      const server = kid === undefined ? undefined : this.#serverKeys.find(kid);
      return server === undefined ? ring.find(kid) : [server];
    });
    const { ctx, jti, tenant: forTenant = tenant } = opened.header;
    // What the encrypt route made for a purpose of its own is no request; nor is what another tenant was meant to send.
    if (ctx !== undefined || forTenant !== tenant) throw undecryptable();
    const re = typeof jti === 'string' ? { re: jti } : {};
    const replyKey = opened.key.algorithm === 'dir' ? null : replyKeyOf(opened.header['reply_jwk']);
    // In kind: whoever has been given a key doesn't have the one that took its place.
    const shared = replyKey === null ? this.#ring.find(opened.key.kid, tenant, 'message') : undefined;
    // One answer there will be: what stands in its way is to be known before anything is done for it.
    if (shared !== undefined) this.#ring.count(shared);
    let paid = 1;
    return {
      data: opened.data,
      // Anybody may have caught what was encrypted to the server: it comes once, whoever brings it.
      enter: (now) => this.#enter(opened, { scope: replyKey === null ? tenant : systemTenantName, tenant }, now),
      reply: (data, about) => {
        const bytes = typeof data === 'string' ? Buffer.from(data) : data;
        if (shared !== undefined && paid-- < 1) this.#ring.count(shared);
        return encryptMessage(bytes, replyKey ?? opened.key, { cty: 'json', ...re, ...about });
      },
    };
  }

  #enter({ header }: OpenedMessage, whose: Omit<MessageName, 'jti'>, now: number): void {
    const { jti, iat } = header;
    if (typeof jti !== 'string' || jti === '' || jti.length > 200) {
      throw odd('jti', 'must be a text of 1 to 200 characters that no other request has');
    }
    if (typeof iat !== 'number' || !Number.isFinite(iat)) throw odd('iat', 'must be the time in seconds');
    const seconds = now / 1000;
    if (iat > seconds + leeway) throw odd('iat', 'is in the future');
    if (iat < seconds - lifetime - leeway) throw odd('iat', `is more than ${lifetime} s ago`);
    const expiresAt = (iat + lifetime + leeway) * 1000 + 1000;
    if (this.#seen.isFirst({ ...whose, jti }, { now, expiresAt: Math.ceil(expiresAt) })) return;
    throw new MizanError('replayed_message', 'A request with this jti came before.', { param: 'jti' });
  }
}

function keyOf({ id, secret }: HeldKey): MessageKey {
  return { kid: id, algorithm: 'dir', encrypts: secret, decrypts: secret };
}

/** Known before the request is acted on: an answer that nobody can be given is not worth a call. */
function replyKeyOf(jwk: unknown): MessageKey {
  if (typeof jwk !== 'object' || jwk === null) throw odd('reply_jwk', 'must be a public key to encrypt the answer to');
  const key = jwk as MessageJwk;
  if (key.kty === 'oct' || key.d !== undefined) {
    throw odd('reply_jwk', 'must have nothing secret or private in it: the header is not encrypted');
  }
  try {
    return messageKeyOf(key);
  } catch (cause) {
    if (!(cause instanceof MizanError)) throw cause;
    throw new MizanError('invalid_request', `The protected header's reply_jwk: ${cause.message}`, {
      param: 'reply_jwk',
      cause,
    });
  }
}

function odd(param: string, expected: string): MizanError {
  return new MizanError('invalid_request', `The protected header's ${param} ${expected}.`, { param });
}
