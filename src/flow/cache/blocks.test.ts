import { expect, test } from 'vitest';
import { seededRandom } from '../../core/random.ts';
import { Blocks } from './blocks.ts';

/** Bytes that say whose they are, at every place. */
function bytesOf(id: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (id * 31 + i * 7 + (i >> 8)) & 255;
  return bytes;
}

/** The same bytes in up to five pieces, some of them empty. */
function piecesOf(bytes: Buffer, random: () => number): Buffer[] {
  const ends = Array.from({ length: 4 }, () => Math.floor(random() * (bytes.length + 1))).toSorted((a, b) => a - b);
  return [0, ...ends].map((start, i) => bytes.subarray(start, ends[i] ?? bytes.length));
}

test('whatever is written, given back and written again: each comes back to the byte', () => {
  const random = seededRandom(7);
  const blocks = new Blocks();
  const there = new Map<number, { first: number; bytes: Buffer }>();
  for (let id = 0; id < 4000; id++) {
    const length = Math.floor(random() * (random() < 0.05 ? 100_000 : 1500));
    const bytes = bytesOf(id, length);
    there.set(id, { first: blocks.write(piecesOf(bytes, random)), bytes });
    const gone = [...there.keys()].filter(() => random() < 0.01);
    for (const one of gone) {
      blocks.free(there.get(one)?.first ?? -1);
      there.delete(one);
    }
  }
  expect(there.size).toBeGreaterThan(50);
  for (const { first, bytes } of there.values()) expect(blocks.read(first, bytes.length).equals(bytes)).toBe(true);
});

test('the first bytes can be read alone', () => {
  const blocks = new Blocks();
  const first = blocks.write([bytesOf(1, 3000)]);
  for (const length of [0, 1, 255, 256, 257, 3000]) {
    expect(blocks.read(first, length)).toEqual(bytesOf(1, length));
  }
});

test('what is given back is used again, and nothing is left of an empty store', () => {
  const blocks = new Blocks();
  const write = (count: number): number[] => Array.from({ length: count }, (_, i) => blocks.write([bytesOf(i, 300)]));
  const firsts = write(5000);
  const full = blocks.bytes;
  for (let round = 0; round < 20; round++) {
    for (const first of firsts.splice(0, 4000)) blocks.free(first);
    firsts.push(...write(4000));
  }
  expect(blocks.bytes).toBe(full);
  for (const first of firsts) blocks.free(first);
  expect(blocks.bytes).toBe(0);
});
