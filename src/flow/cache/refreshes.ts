import type { Clock } from '../../core/clock.ts';
import { newRequestId } from '../../core/ids.ts';
import type { CachedAnswer, CacheKey, SharedAnswers } from '../../core/response-cache.ts';
import type { AnswerSink, Call } from '../call.ts';

/** Takes a call through the flow that nobody waits for. */
export type Background = (call: Call) => Promise<unknown>;

const nobody: AnswerSink = { begin() {}, write: () => true };

/** Newer answers that are being fetched beside old ones: each once, also where several processes share them. */
export class Refreshes {
  readonly #shared: SharedAnswers | null;
  readonly #clock: Clock;
  readonly #running = new Map<string, AbortController>();

  constructor(shared: SharedAnswers | null, clock: Clock) {
    this.#shared = shared;
    this.#clock = clock;
  }

  /**
   * @param call Who was given the old one.
   * @param found Told of what others have made meanwhile; whether that will do.
   */
  begin(key: CacheKey, call: Call, background: Background, found: (kept: CachedAnswer) => boolean): void {
    const { hash } = key;
    if (this.#running.has(hash)) return;
    const abort = new AbortController();
    this.#running.set(hash, abort);
    const own: Call = {
      ...call,
      id: newRequestId(this.#clock.now()),
      receivedAt: this.#clock.now(),
      startedAt: this.#clock.monotonic(),
      signal: abort.signal,
      sink: nobody,
      cacheControl: 'no-cache',
    };
    void this.#renew(key, { call: own, background, found }).finally(() => this.#running.delete(hash));
  }

  /** Nobody waits for them. */
  close(): void {
    for (const abort of this.#running.values()) abort.abort();
  }

  async #renew(
    key: CacheKey,
    {
      call,
      background,
      found,
    }: { readonly call: Call; readonly background: Background; readonly found: (kept: CachedAnswer) => boolean },
  ): Promise<void> {
    const ticket = `${call.id}.refresh`;
    const look = await this.#shared?.look(key, ticket, false, true);
    if (look?.found === null && look.turn === 'theirs') return;
    const there = look?.found ?? look?.old;
    if (there !== undefined && found(there)) {
      this.#shared?.land(key, ticket, null, false);
      return;
    }
    // Nobody hears it as it comes, but the turn is kept.
    this.#shared?.tell(key, ticket, { changed() {} });
    await background(call);
    this.#shared?.land(key, ticket, null, false);
  }
}
