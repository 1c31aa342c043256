import type { KeyObject } from 'node:crypto';
import { createCipheriv, createDecipheriv, randomFillSync } from 'node:crypto';
import { MizanError } from '../core/errors.ts';
import type { SealContext } from '../core/sealing.ts';

/**
 * Version, key id, nonce, tag, ciphertext. What the value belongs to is not in it: whoever opens it has to know.
 *
 * | bytes | 1    | 8      | 12    | 16  | any        |
 * | ----- | ---- | ------ | ----- | --- | ---------- |
 * |       | 0x01 | key id | nonce | tag | ciphertext |
 */
const version = 1;
const idEnd = 9;
const nonceEnd = 21;
const headSize = 37;

const cipher = 'aes-256-gcm';

/** The id, in hex, of the key that sealed it; `null` for what isn't an envelope. */
export function keyIdOf(sealed: Uint8Array): string | null {
  if (sealed.length < headSize || sealed[0] !== version) return null;
  return Buffer.from(sealed.buffer, sealed.byteOffset + 1, idEnd - 1).toString('hex');
}

/** @param keyId 16 hex digits. */
export function sealWith(key: KeyObject, keyId: string, data: Uint8Array, context: SealContext): Buffer {
  const head = Buffer.alloc(headSize);
  head[0] = version;
  head.write(keyId, 1, 'hex');
  randomFillSync(head, idEnd, nonceEnd - idEnd);
  const encrypting = createCipheriv(cipher, key, head.subarray(idEnd, nonceEnd));
  encrypting.setAAD(associated(keyId, context));
  const first = encrypting.update(data);
  const last = encrypting.final();
  encrypting.getAuthTag().copy(head, nonceEnd);
  return Buffer.concat([head, first, last]);
}

/** @throws MizanError `unsealable`. */
export function openWith(key: KeyObject, keyId: string, sealed: Uint8Array, context: SealContext): Buffer {
  try {
    const decrypting = createDecipheriv(cipher, key, sealed.subarray(idEnd, nonceEnd), { authTagLength: 16 });
    decrypting.setAAD(associated(keyId, context));
    decrypting.setAuthTag(sealed.subarray(nonceEnd, headSize));
    return Buffer.concat([decrypting.update(sealed.subarray(headSize)), decrypting.final()]);
  } catch (cause) {
    throw unsealable(context, cause);
  }
}

/** What is authenticated without being in the envelope. Each part has its length before it: no two mean the same. */
function associated(keyId: string, { tenant, purpose, row }: SealContext): Buffer {
  const parts = [Buffer.from(`mizan sealed ${version}`), Buffer.from(keyId, 'hex')];
  for (const part of [tenant, purpose, row]) {
    // Two texts that are not well-formed could have the same UTF-8.
    if (!part.isWellFormed()) throw new MizanError('internal', 'A context to seal for is not well-formed Unicode.');
    const bytes = Buffer.from(part);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    parts.push(length, bytes);
  }
  return Buffer.concat(parts);
}

/** Names the row, and nothing of what is in it. */
export function unsealable({ tenant, purpose, row }: SealContext, cause?: unknown): MizanError {
  const message = `What is sealed at ${purpose} ${row} of ${tenant} can't be opened.`;
  return new MizanError('unsealable', message, { cause });
}
