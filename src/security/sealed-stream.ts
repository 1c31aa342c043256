import { createCipheriv, createDecipheriv } from 'node:crypto';

/**
 * Data of any length, sealed piece by piece with AES-256-GCM in the STREAM construction (Hoang, Reyhanitabar, Rogaway
 * and Vizár, 2015): a piece's nonce is its number and whether it is the last. So a piece that is changed, left out,
 * doubled, moved or cut off is found, and a reader holds one piece in memory.
 */

/** What a sealed piece is longer than what is in it, in bytes. */
export const sealedExtra = 16;

/** Seals the pieces of one stream. The key must be fresh: it is for one stream alone. */
export class StreamSealer {
  readonly #key: Uint8Array;
  readonly #context: Uint8Array;
  #pieces = 0;

  /** @param context What the stream belongs to; it opens with the same only. */
  constructor(key: Uint8Array, context: Uint8Array) {
    this.#key = key;
    this.#context = context;
  }

  seal(piece: Uint8Array, isLast: boolean): Buffer {
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonceOf(this.#pieces++, isLast));
    cipher.setAAD(this.#context);
    return Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()]);
  }
}

/** Opens the pieces of one stream, in their order. */
export class StreamOpener {
  readonly #key: Uint8Array;
  readonly #context: Uint8Array;
  #pieces = 0;
  #isOver = false;

  constructor(key: Uint8Array, context: Uint8Array) {
    this.#key = key;
    this.#context = context;
  }

  /** Whether the last piece has been opened. A stream that ends before is cut off. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** What is in the next piece; `null` for anything but the very piece that was sealed at this place. */
  open(sealed: Uint8Array): Buffer | null {
    if (this.#isOver || sealed.length < sealedExtra) return null;
    const inside = this.#openAs(sealed, false);
    if (inside !== null) {
      this.#pieces++;
      return inside;
    }
    const last = this.#openAs(sealed, true);
    if (last !== null) this.#isOver = true;
    return last;
  }

  #openAs(sealed: Uint8Array, isLast: boolean): Buffer | null {
    const nonce = nonceOf(this.#pieces, isLast);
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce, { authTagLength: sealedExtra });
    decipher.setAAD(this.#context);
    decipher.setAuthTag(sealed.subarray(-sealedExtra));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(0, -sealedExtra)), decipher.final()]);
    } catch {
      return null;
    }
  }
}

/** Eleven bytes of its number, and one that is 1 for the last. */
function nonceOf(piece: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64BE(BigInt(piece), 3);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}
