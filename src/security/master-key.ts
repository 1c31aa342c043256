import type { KeyObject } from 'node:crypto';
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, randomBytes } from 'node:crypto';
import { SetupError } from '../core/errors.ts';
import type { SealPurpose } from '../core/sealing.ts';
import type { Secret } from '../core/secret.ts';

/** Which data key it is: bound to what is wrapped. */
export interface DataKeyName {
  /** 16 hex digits. */
  readonly id: string;
  readonly tenant: string;
  readonly purpose: SealPurpose;
}

const cipher = 'aes-256-gcm';
const nonceSize = 12;
const tagSize = 16;
const keySize = 32;

/** Wraps data keys, and does nothing else. */
export class MasterKey {
  /** 16 hex digits that tell it from others, and tell nothing of it. */
  readonly id: string;
  readonly #wrapping: KeyObject;

  /** @param secret 32 bytes. */
  constructor(secret: Buffer) {
    this.id = createHmac('sha256', secret).update('mizan master key id').digest('hex').slice(0, 16);
    this.#wrapping = createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', 'mizan wraps data keys', keySize)));
  }

  wrap(dataKey: Buffer, name: DataKeyName): Buffer {
    const nonce = randomBytes(nonceSize);
    const encrypting = createCipheriv(cipher, this.#wrapping, nonce).setAAD(associated(name));
    const wrapped = Buffer.concat([encrypting.update(dataKey), encrypting.final()]);
    return Buffer.concat([nonce, encrypting.getAuthTag(), wrapped]);
  }

  /** @throws Error of `node:crypto` for anything but what `wrap` made for this name. */
  unwrap(wrapped: Uint8Array, name: DataKeyName): Buffer {
    const decrypting = createDecipheriv(cipher, this.#wrapping, wrapped.subarray(0, nonceSize), {
      authTagLength: tagSize,
    });
    decrypting.setAAD(associated(name)).setAuthTag(wrapped.subarray(nonceSize, nonceSize + tagSize));
    return Buffer.concat([decrypting.update(wrapped.subarray(nonceSize + tagSize)), decrypting.final()]);
  }
}

function associated({ id, tenant, purpose }: DataKeyName): Buffer {
  return Buffer.from(JSON.stringify(['mizan data key 1', id, tenant, purpose]));
}

/**
 * 32 bytes in base64, base64url or hex. There are no passphrases: what a person can remember, a machine can guess.
 * @param where Names the place in the message.
 * @throws SetupError for anything else.
 */
export function masterKeyOf(text: Secret<string>, where: string): MasterKey {
  const written = text.reveal().trim();
  const bytes = /^[0-9a-f]{64}$/i.test(written) ? Buffer.from(written, 'hex') : base64(written);
  if (bytes?.length === keySize) return new MasterKey(bytes);
  throw new SetupError(`${where} is not 32 bytes in base64 or hex; "openssl rand -base64 32" makes some.`);
}

function base64(written: string): Buffer | null {
  return /^[\w+/-]{43}=?$/.test(written) ? Buffer.from(written, 'base64') : null;
}
