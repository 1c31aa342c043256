import { promisify } from 'node:util';
import { zstdCompress, zstdDecompressSync } from 'node:zlib';
import type { Word } from '../core/response-cache.ts';

const compress = promisify(zstdCompress);

/** From this size on words are compressed, in bytes. */
const leastCompressed = 1024;

const forms = { plain: 1, compressed: 2 };

/** What a piece begins with: parts are bytes, everything else is JSON. */
const marks = { json: 0, part: 1, usage: 2 };

/** A word as bytes: its mark, its length, and what it says. */
export function frameOf(word: Word): Buffer {
  const isPart = word.kind === 'part';
  const said = isPart ? word.bytes : Buffer.from(JSON.stringify(word));
  const frame = Buffer.allocUnsafe(5 + said.length);
  frame[0] = isPart ? (word.isUsage ? marks.usage : marks.part) : marks.json;
  frame.writeUInt32BE(said.length, 1);
  said.copy(frame, 5);
  return frame;
}

/** Several words as one piece, before it is sealed. */
export async function pieceOf(frames: readonly Buffer[]): Promise<Buffer> {
  const plain = Buffer.concat(frames);
  const isLong = plain.length >= leastCompressed;
  return Buffer.concat([
    Buffer.from([isLong ? forms.compressed : forms.plain]),
    isLong ? await compress(plain) : plain,
  ]);
}

/** @returns `null` for what is no such piece. */
export function wordsOf(piece: Buffer): Word[] | null {
  try {
    const rest = piece.subarray(1);
    if (piece[0] !== forms.plain && piece[0] !== forms.compressed) return null;
    const plain = piece[0] === forms.compressed ? zstdDecompressSync(rest) : rest;
    const words: Word[] = [];
    for (let at = 0; at < plain.length;) {
      const mark = plain[at];
      const end = at + 5 + plain.readUInt32BE(at + 1);
      const said = plain.subarray(at + 5, end);
      words.push(
        mark === marks.json
          ? (JSON.parse(said.toString('utf8')) as Word)
          : { kind: 'part', bytes: said, isUsage: mark === marks.usage },
      );
      at = end;
    }
    return words;
  } catch {
    return null;
  }
}
