import { promisify } from 'node:util';
import { zstdCompress, zstdDecompressSync } from 'node:zlib';
import type { AnswerFacts, CachedAnswer } from './response-cache.ts';

const compress = promisify(zstdCompress);

/** The first byte: how the rest is written. */
const forms = { plain: 1, compressed: 2 };

/** After the form: how long the facts are and how long the event of the usage is. In bytes. */
const lengths = 8;

/** An answer in pieces that lie one after the other: form, lengths and facts (JSON); the event of its usage; its body. */
export function inPieces({ body, usageEvent, ...facts }: CachedAnswer): Buffer[] {
  const { kind, usage, finishReason, model, instance, provider } = facts;
  const { storedAt, freshUntil, refreshUntil, rescueUntil } = facts;
  const times = { storedAt, freshUntil, refreshUntil, rescueUntil };
  const told = JSON.stringify({ kind, usage, finishReason, model, instance, provider, ...times } satisfies AnswerFacts);
  const head = Buffer.allocUnsafe(1 + lengths + Buffer.byteLength(told));
  head.writeUInt8(forms.plain);
  head.writeUInt32BE(head.length - lengths - 1, 1);
  head.writeUInt32BE(usageEvent.length, 5);
  head.write(told, 1 + lengths);
  return [head, usageEvent, body];
}

/** The same in fewer bytes, as a rule. */
export async function compressed(pieces: readonly Buffer[]): Promise<Buffer> {
  const plain = Buffer.concat(pieces);
  return Buffer.concat([Buffer.from([forms.compressed]), await compress(plain.subarray(1))]);
}

/** The answer of {@link inPieces} or {@link compressed}; `null` for what is no such thing. It may lie in those bytes. */
export function answerOf(bytes: Buffer): CachedAnswer | null {
  try {
    const rest = bytes.subarray(1);
    if (bytes[0] !== forms.plain && bytes[0] !== forms.compressed) return null;
    const plain = bytes[0] === forms.compressed ? zstdDecompressSync(rest) : rest;
    const facts = lengths + plain.readUInt32BE(0);
    const said = facts + plain.readUInt32BE(4);
    return {
      ...(JSON.parse(plain.toString('utf8', lengths, facts)) as AnswerFacts),
      usageEvent: plain.subarray(facts, said),
      body: plain.subarray(said),
    };
  } catch {
    return null;
  }
}
