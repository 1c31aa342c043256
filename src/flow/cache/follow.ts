import { MizanError } from '../../core/errors.ts';
import type { CacheKey, Word } from '../../core/response-cache.ts';
import { pause } from '../attempts/backoff.ts';
import type { AnswerSink } from '../call.ts';
import type { Elsewhere } from './elsewhere.ts';
import type { Told } from './flight.ts';
import { heardEvents } from './replay.ts';

/** Without a word from the shared cache, and from whoever has the lease, a stream that has begun is waited for, in ms. */
const patience = { silentMs: 3000, leftMs: 1000 };

/** Between two attempts to hear anything, in ms. */
const againMs = 50;

/**
 * What came of following another process' stream. Nothing was said: `gone`, look again; `whole`, it will come whole;
 * `untold`, ask for yourself. And `cut`: something was said, and the rest can't be had.
 */
export type Followed = Told | 'gone' | 'whole' | 'untold' | 'cut';

/** Follows the stream that another process is given, from its start, for as long as anybody waits for it here. */
export async function follow(key: CacheKey, holder: string, at: Elsewhere): Promise<Followed> {
  const following = new Following(at.sink);
  const { clock, signal, shared } = at;
  let heardAt = clock.monotonic();
  let upTo = 0;
  while (!signal.aborted) {
    const heard = await shared.hear(key, { holder, upTo }, signal);
    const silentMs = clock.monotonic() - heardAt;
    const nothing = following.hasBegun ? 'cut' : heard === 'away' ? 'gone' : heard.isBroken ? 'untold' : 'gone';
    if (heard === 'away') {
      if (silentMs > patience.silentMs || !following.hasBegun) return nothing;
      await pause(againMs, signal);
      continue;
    }
    if (heard.isBroken) return nothing;
    if (heard.words.length === 0 && !heard.isHeld) {
      if (silentMs > patience.leftMs || !following.hasBegun) return nothing;
      continue;
    }
    for (const word of heard.words) {
      const ended = await following.take(word, signal);
      if (ended !== null) return ended;
    }
    upTo = heard.upTo;
    heardAt = clock.monotonic();
  }
  return 'gone';
}

/** What was heard so far. */
class Following {
  readonly #sink: AnswerSink;
  #hasBegun = false;

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** @returns What comes of it, where it was the last. */
  async take(word: Word, signal: AbortSignal): Promise<Followed | null> {
    switch (word.kind) {
      case 'head':
        this.#begin(word);
        return null;
      case 'part':
        await this.#pass(word, signal);
        return null;
      case 'end':
        return { facts: word.facts, isKept: word.isKept, resumed: word.resumed };
      case 'failed':
        return this.#hasBegun ? { error: new MizanError(word.code, word.message, { status: word.status }) } : 'gone';
      case 'whole':
        return 'whole';
      case 'untold':
        return this.#hasBegun ? 'cut' : 'untold';
    }
  }

  #begin({ model, instance, provider }: Extract<Word, { kind: 'head' }>): void {
    this.#hasBegun = true;
    const times = { attempts: 0, gatewayMs: 0, upstreamMs: 0 };
    this.#sink.begin({ agent: null, model, instance, provider, cache: 'coalesced', ...times });
  }

  async #pass({ bytes }: Extract<Word, { kind: 'part' }>, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#sink.write(heardEvents(bytes), resolve)) return;
    signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
  }
}
