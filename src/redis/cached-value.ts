import { promisify } from 'node:util';
import { zstdCompress, zstdDecompressSync } from 'node:zlib';
import type { CachedAnswer } from '../core/response-cache.ts';

const compress = promisify(zstdCompress);

/** From this size on a value is compressed, in bytes. */
const leastCompressed = 1024;

/** The first byte of a value. */
const forms = { plain: 1, compressed: 2 };

/** An answer as bytes, before it is sealed: everything but the body as JSON with its length before it, and the body. */
export async function written({ body, usageEvent, ...facts }: CachedAnswer): Promise<Buffer> {
  const { kind, usage, finishReason, model, instance, provider } = facts;
  const { storedAt, freshUntil, refreshUntil, rescueUntil } = facts;
  const times = { storedAt, freshUntil, refreshUntil, rescueUntil };
  const told = { kind, usage, finishReason, model, instance, provider, ...times, usageEvent: usageEvent.toString() };
  const head = Buffer.from(JSON.stringify(told));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length);
  const plain = Buffer.concat([length, head, body]);
  const isLong = plain.length >= leastCompressed;
  const rest = isLong ? await compress(plain) : plain;
  return Buffer.concat([Buffer.from([isLong ? forms.compressed : forms.plain]), rest]);
}

/** @returns `null` for what is no such value. */
export function read(bytes: Buffer): CachedAnswer | null {
  try {
    const rest = bytes.subarray(1);
    if (bytes[0] !== forms.plain && bytes[0] !== forms.compressed) return null;
    const plain = bytes[0] === forms.compressed ? zstdDecompressSync(rest) : rest;
    const end = 4 + plain.readUInt32BE(0);
    const { usageEvent, ...facts } = JSON.parse(plain.toString('utf8', 4, end)) as Omit<
      CachedAnswer,
      'body' | 'usageEvent'
    > & { readonly usageEvent: string };
    return { ...facts, usageEvent: Buffer.from(usageEvent), body: plain.subarray(end) };
  } catch {
    return null;
  }
}
