import { isUtf8 } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { MizanError } from '../core/errors.ts';
import { checkContext, contextHeader, decryptMessage, encryptMessage } from './jwe.ts';
import type { MessageHeader } from './jwe.ts';
import type { MessageJwk, MessageKey } from './message-key.ts';
import { messageKeyOf } from './message-key.ts';

/** What JSON can say. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** Where the keys come from, for whoever rotates them. */
export interface MessageKeyRing {
  /** The key for what is encrypted now. */
  current(): MessageKey;
  /** The keys of that name; all that there are for a message that names none. */
  find(kid: string | undefined): readonly MessageKey[];
}

/** Either `keys` or a `keyRing`; without both, the variable `MIZAN_MESSAGE_KEY` has the key. */
export interface AISecurityOptions {
  /**
   * JSON Web Keys (RFC 7517), or 32 bytes for a symmetric key. The first one encrypts, all decrypt: a new key goes in
   * front of the old ones. `oct` keys are used as `dir`, P-256 and X25519 keys as `ECDH-ES+A256KW`, both with `A256GCM`.
   */
  readonly keys?: readonly (MessageJwk | Uint8Array)[];
  readonly keyRing?: MessageKeyRing;
}

export interface MessageOptions {
  /**
   * What the message is for: `order 17`. It decrypts with the same context only. The header has its hash, so anybody
   * who can guess a context can tell that it is this one.
   */
  readonly context?: string;
}

/**
 * Encrypts and decrypts data as JWE in the compact serialization (RFC 7516), which every JOSE library reads and writes.
 *
 * ```js
 * import { AISecurity } from 'mizan/security';
 * const security = new AISecurity({ keys: [AISecurity.generateKey()] });
 * const token = await security.encryptData({ input: 'hello' }, { context: 'order 17' });
 * await security.decryptData(token, { context: 'order 17' }); // { input: 'hello' }
 * ```
 */
export class AISecurity {
  readonly #ring: MessageKeyRing;

  /** @throws MizanError `invalid_request` where there is no key, or one that can't be used. */
  constructor(options: AISecurityOptions = {}) {
    this.#ring = options.keyRing ?? fixedRing((options.keys ?? [keyOfEnvironment()]).map(messageKeyOf));
  }

  /** A new symmetric key. Keep it secret: it both encrypts and decrypts. */
  static generateKey(): MessageJwk {
    const kid = randomBytes(8).toString('hex');
    return { kty: 'oct', k: randomBytes(32).toString('base64url'), alg: 'dir', use: 'enc', kid };
  }

  /**
   * Encrypts a text, bytes, or any JSON value; `decryptData` gives back the same.
   * @returns JWE compact: printable ASCII, safe in URLs, headers and JSON.
   * @throws MizanError `invalid_request` for what JSON can't say.
   */
  async encryptData(data: JsonValue | Uint8Array, options: MessageOptions = {}): Promise<string> {
    const { bytes, cty } = encoded(data);
    return encryptMessage(bytes, this.#ring.current(), { cty, ...contextHeader(options.context) });
  }

  /**
   * Decrypts what `encryptData` made, here or by any other JOSE library: a text, bytes or a JSON value, as the header's
   * `cty` says. Without `cty`, a text where it is UTF-8, else bytes.
   * @throws MizanError `undecryptable` for any other key or context, and for what was altered.
   */
  async decryptData(token: string, options: MessageOptions = {}): Promise<JsonValue | Uint8Array> {
    if (typeof token !== 'string') throw new MizanError('invalid_request', 'A token is a text.', { param: 'token' });
    const { data, header } = await decryptMessage(token, (kid) => this.#ring.find(kid));
    checkContext(header, options.context);
    return decoded(data, header);
  }
}

function fixedRing(keys: readonly MessageKey[]): MessageKeyRing {
  const [first] = keys;
  if (first === undefined) throw new MizanError('invalid_request', 'AISecurity needs at least one key.');
  return {
    current: () => first,
    find: (kid) => (kid === undefined ? keys : keys.filter((key) => key.kid === kid)),
  };
}

/** A JWK, as `mizan secrets export-message-key` prints it. */
function keyOfEnvironment(): MessageJwk {
  const text = process.env['MIZAN_MESSAGE_KEY'] ?? '';
  try {
    if (text !== '') return JSON.parse(text) as MessageJwk;
  } catch {
    throw new MizanError('invalid_request', 'MIZAN_MESSAGE_KEY is not a JWK in JSON.');
  }
  throw new MizanError('invalid_request', 'AISecurity needs keys: give some, or set MIZAN_MESSAGE_KEY.');
}

function encoded(data: JsonValue | Uint8Array): { readonly bytes: Uint8Array; readonly cty: string } {
  if (data instanceof Uint8Array) return { bytes: data, cty: 'octet-stream' };
  // A text that UTF-8 can't hold goes as JSON, which has escapes for it.
  if (typeof data === 'string' && data.isWellFormed()) return { bytes: Buffer.from(data), cty: 'text/plain' };
  let json: string | undefined;
  try {
    json = JSON.stringify(data);
  } catch (cause) {
    throw new MizanError('invalid_request', 'The data is not JSON.', { param: 'data', cause });
  }
  if (json === undefined) throw new MizanError('invalid_request', 'The data is not JSON.', { param: 'data' });
  return { bytes: Buffer.from(json), cty: 'json' };
}

/** RFC 7516 §4.1.12: a media type, whose `application/` may be left out. */
function decoded(data: Buffer, header: MessageHeader): JsonValue | Uint8Array {
  const cty = typeof header['cty'] === 'string' ? header['cty'].toLowerCase() : '';
  if (/^(?:application\/)?(?:[\w.-]+\+)?json(?:;|$)/.test(cty)) return parsed(data);
  if (cty.startsWith('text/') || (cty === '' && isUtf8(data))) return data.toString();
  return new Uint8Array(data);
}

function parsed(data: Buffer): JsonValue {
  try {
    return JSON.parse(data.toString()) as JsonValue;
  } catch (cause) {
    throw new MizanError('undecryptable', 'What was encrypted says it is JSON and is not.', { param: 'token', cause });
  }
}
