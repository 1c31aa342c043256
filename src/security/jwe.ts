import { createHash, timingSafeEqual } from 'node:crypto';
import { CompactEncrypt, compactDecrypt } from 'jose';
import { MizanError } from '../core/errors.ts';
import type { MessageKey } from './message-key.ts';

/** What a protected header says besides `alg`, `enc` and `kid`. */
export type MessageHeader = Readonly<Record<string, unknown>>;

/** What was in a message, and what its header said; both are authentic. */
export interface OpenedMessage {
  readonly data: Buffer;
  readonly header: MessageHeader;
  /** The one that opened it. */
  readonly key: MessageKey;
}

const encryption = 'A256GCM';

/** Of the header alone; in characters. */
const maxHeader = 16_384;

/** Keys that are tried for a message that names none. */
const maxTried = 8;

/** @returns JWE in the compact serialization (RFC 7516 §7.1). */
export function encryptMessage(data: Uint8Array, key: MessageKey, header: MessageHeader): Promise<string> {
  return new CompactEncrypt(data)
    .setProtectedHeader({ ...header, alg: key.algorithm, enc: encryption, kid: key.kid })
    .encrypt(key.encrypts);
}

/**
 * Opens a JWE in the compact serialization. The key decides the algorithm; the header may only name the key.
 * @param keysFor The keys that may have been used: those of that name, or all where the message names none.
 * @throws MizanError `undecryptable`, without saying which part of it was wrong.
 */
export async function decryptMessage(
  token: string,
  keysFor: (kid: string | undefined) => readonly MessageKey[],
): Promise<OpenedMessage> {
  const header = headerOf(token);
  const { alg, enc, kid, crit, zip } = header;
  const isOdd = enc !== encryption || crit !== undefined || zip !== undefined;
  if (isOdd || (kid !== undefined && typeof kid !== 'string')) throw undecryptable();
  let cause: unknown;
  for (const key of keysFor(kid).slice(0, maxTried)) {
    if (key.decrypts === null || key.algorithm !== alg) continue;
    try {
      const { plaintext } = await compactDecrypt(token, key.decrypts, {
        keyManagementAlgorithms: [key.algorithm],
        contentEncryptionAlgorithms: [encryption],
      });
      return { data: Buffer.from(plaintext.buffer, plaintext.byteOffset, plaintext.length), header, key };
    } catch (error) {
      cause = error;
    }
  }
  throw undecryptable(cause);
}

/**
 * The protected header, before anything about it is known to be true.
 * @throws MizanError `undecryptable` for what isn't five parts in base64url, each in its one spelling: a reader of
 * base64url passes over the bits behind the last byte, so that one message would have many.
 */
function headerOf(token: string): MessageHeader {
  const parts = token.split('.', 6);
  const [head = ''] = parts;
  if (parts.length !== 5 || head.length > maxHeader || !parts.every(isCanonical)) throw undecryptable();
  try {
    const header: unknown = JSON.parse(Buffer.from(head, 'base64url').toString());
    if (typeof header === 'object' && header !== null && !Array.isArray(header)) return header as MessageHeader;
  } catch (cause) {
    throw undecryptable(cause);
  }
  throw undecryptable();
}

function isCanonical(part: string): boolean {
  return Buffer.from(part, 'base64url').toString('base64url') === part;
}

/** The header's member that binds a message to what it is for: the hash of the context. */
export function contextHeader(context: string | undefined): MessageHeader {
  return context === undefined ? {} : { ctx: contextHash(context) };
}

/**
 * Compares in constant time.
 * @throws MizanError `undecryptable` where the message is for another context; also for one that has one where none is
 * expected, and the other way round.
 */
export function checkContext(header: MessageHeader, context: string | undefined): void {
  const given = header['ctx'];
  if (context === undefined && given === undefined) return;
  const expected = Buffer.from(contextHash(context ?? ''));
  const found = Buffer.from(typeof given === 'string' ? given : '');
  const isSame = found.length === expected.length && timingSafeEqual(found, expected);
  if (!isSame || context === undefined) throw undecryptable();
}

function contextHash(context: string): string {
  if (!context.isWellFormed()) throw new MizanError('invalid_request', 'The context is not well-formed Unicode.');
  return createHash('sha256').update('mizan context\0').update(context).digest('base64url');
}

export function undecryptable(cause?: unknown): MizanError {
  const message = 'This can not be decrypted: it was altered, or it is not for this key and context.';
  return new MizanError('undecryptable', message, { param: 'token', cause });
}
