import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StreamOpener, StreamSealer } from './sealed-stream.ts';

const context = Buffer.from('a file');

function sealAll(pieces: readonly Uint8Array[], key: Uint8Array): Buffer[] {
  const sealer = new StreamSealer(key, context);
  return pieces.map((piece, i) => sealer.seal(piece, i === pieces.length - 1));
}

/** What comes out, and whether it came to the stream's end. */
function openAll(sealed: readonly Uint8Array[], key: Uint8Array, about: Uint8Array = context) {
  const opener = new StreamOpener(key, about);
  const pieces: Buffer[] = [];
  for (const one of sealed) {
    const inside = opener.open(one);
    if (inside === null) return { pieces, isWhole: false };
    pieces.push(inside);
  }
  return { pieces, isWhole: opener.isOver };
}

const anyPieces = fc.array(fc.uint8Array({ maxLength: 50 }), { minLength: 1, maxLength: 8 });

test('what was sealed opens with its key and context, piece by piece', () => {
  fc.assert(
    fc.property(anyPieces, (pieces) => {
      const key = randomBytes(32);
      const opened = openAll(sealAll(pieces, key), key);
      expect(opened.isWhole).toBe(true);
      expect(Buffer.concat(opened.pieces)).toEqual(Buffer.concat(pieces));
    }),
  );
});

test('nothing opens with another key or in another context', () => {
  const key = randomBytes(32);
  const sealed = sealAll([Buffer.from('inside')], key);
  expect(openAll(sealed, randomBytes(32)).pieces).toEqual([]);
  expect(openAll(sealed, key, Buffer.from('another file')).pieces).toEqual([]);
});

test('a changed bit, a piece left out, doubled, moved, added or cut off is found', () => {
  const tampering: readonly ((sealed: Buffer[], at: number) => Buffer[])[] = [
    (sealed, at) => sealed.with(at, flipped(sealed[at]!)),
    (sealed, at) => sealed.toSpliced(at, 1),
    (sealed, at) => sealed.toSpliced(at, 0, sealed[at]!),
    (sealed, at) => sealed.slice(0, at),
    (sealed, at) => [...sealed, sealed[at]!],
    (sealed, at) => sealed.with(at, sealed[at]!.subarray(0, -1)),
    (sealed, at) => (at === 0 ? sealed.slice(0, 0) : [sealed[at]!, ...sealed.toSpliced(at, 1)]),
  ];
  fc.assert(
    fc.property(anyPieces, fc.nat(), fc.constantFrom(...tampering), (pieces, n, tamper) => {
      const key = randomBytes(32);
      const sealed = sealAll(pieces, key);
      expect(openAll(tamper(sealed, n % sealed.length), key).isWhole).toBe(false);
    }),
  );
});

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const at = copy.length >> 1;
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
