import type { ChatAnswer, ChatEvents } from '../../core/chat.ts';
import type { JsonObject } from '../../core/json-document.ts';
import type { CachedAnswer } from '../../core/response-cache.ts';
import type { Call } from '../call.ts';
import { chunksOf, completionOf } from './convert.ts';

/** A body that is parsed only where somebody looks into it. */
class KeptCompletion implements ChatAnswer {
  readonly bytes: Buffer;
  #completion: JsonObject | null = null;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get completion(): JsonObject {
    this.#completion ??= JSON.parse(this.bytes.toString('utf8')) as JsonObject;
    return this.#completion;
  }
}

/** Events that are parsed only where somebody looks into them. */
class KeptEvents implements ChatEvents {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get chunks(): readonly JsonObject[] {
    return chunksIn(this.bytes.toString('utf8'));
  }
}

/** Events as another process had them. */
class HeardEvents implements ChatEvents {
  readonly bytes: Buffer;
  #chunks: readonly JsonObject[] | null = null;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get chunks(): readonly JsonObject[] {
    return (this.#chunks ??= chunksIn(this.bytes.toString('utf8')));
  }
}

export function heardEvents(bytes: Buffer): ChatEvents {
  return new HeardEvents(bytes);
}

/** The events of a stream, each with the empty line at its end. */
function eventTexts(text: string): string[] {
  return text.match(/[^]*?\r?\n\r?\n/g) ?? [];
}

/** What an event holds; `null` for a comment. */
function chunkIn(event: string): JsonObject | null {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith('data:'));
  return lines.length === 0 ? null : (JSON.parse(lines.map((line) => line.slice(5)).join('\n')) as JsonObject);
}

function chunksIn(text: string): JsonObject[] {
  return eventTexts(text)
    .map(chunkIn)
    .filter((chunk) => chunk !== null);
}

/** Splits events that came together at the one that is looked for. */
export function splitAt(
  { bytes }: ChatEvents,
  isIt: (chunk: JsonObject) => boolean,
): { readonly events: ChatEvents; readonly isIt: boolean }[] {
  return eventTexts(bytes.toString('utf8')).map((text) => {
    const chunk = chunkIn(text);
    return {
      events: { bytes: Buffer.from(text), chunks: chunk === null ? [] : [chunk] },
      isIt: chunk !== null && isIt(chunk),
    };
  });
}

/** The whole answer as the body of one that is not streamed. */
export function asCompletion(kept: CachedAnswer): ChatAnswer {
  if (kept.kind === 'json') return new KeptCompletion(kept.body);
  const text = kept.body.toString('utf8') + kept.usageEvent.toString('utf8');
  const completion = completionOf(chunksIn(text));
  return { completion, bytes: Buffer.from(JSON.stringify(completion)) };
}

/** Words with the space after them. */
const words = (text: string): readonly string[] => text.split(/(?<=\s)(?=\S)/);
const inOne = (text: string): readonly string[] => [text];

/** How a kept answer is given to a streaming caller. */
export interface Replay {
  /** Between two pieces, in ms; 0 for all at once. */
  readonly paceMs: number;
  readonly wantsUsage: boolean;
}

/**
 * Writes the whole answer as a stream; the call's sink has begun. Ends early where the caller leaves.
 * @returns Nothing where it is done at once, as without a pace it always is.
 */
export function replay(kept: CachedAnswer, call: Call, how: Replay): Promise<void> | undefined {
  if (how.paceMs > 0) return replayInTime(piecesOf(kept, how), call, how.paceMs);
  // Nobody waits for the last write of a stream to be drained.
  const { body, usageEvent } = kept;
  if (kept.kind === 'json') for (const piece of piecesOf(kept, how)) call.sink.write(piece, () => {});
  else call.sink.write(new KeptEvents(how.wantsUsage ? Buffer.concat([body, usageEvent]) : body), () => {});
  return undefined;
}

function piecesOf(kept: CachedAnswer, { paceMs, wantsUsage }: Replay): ChatEvents[] {
  if (kept.kind === 'stream') {
    const text = kept.body.toString('utf8') + (wantsUsage ? kept.usageEvent.toString('utf8') : '');
    return eventTexts(text).map((event) => new KeptEvents(Buffer.from(event)));
  }
  const chunks = chunksOf(asCompletion(kept).completion, paceMs > 0 ? words : inOne);
  const told = wantsUsage ? chunks : chunks.filter(({ choices }) => (choices as readonly unknown[]).length > 0);
  return told.map((chunk) => ({ chunks: [chunk], bytes: Buffer.from(`data: ${JSON.stringify(chunk)}\n\n`) }));
}

async function replayInTime(pieces: readonly ChatEvents[], call: Call, paceMs: number): Promise<void> {
  const { signal, sink } = call;
  for (const [i, piece] of pieces.entries()) {
    if (i > 0) await unlessAborted(signal, (done) => void setTimeout(done, paceMs));
    if (signal.aborted) return;
    await unlessAborted(signal, (done) => {
      if (sink.write(piece, done)) done();
    });
  }
}

function unlessAborted(signal: AbortSignal, begin: (done: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
    else begin(done);
  });
}
