import type { Writable } from 'node:stream';

/**
 * Holds back for a moment what is written to streams, and lets it all go together. Of a small write to a socket the
 * dearest part is that its reader is woken; of many at a time, few are still asleep. See decision 0027.
 */
export class HeldWrites {
  readonly #spacingMs: number;
  #streams: Writable[] = [];
  #releasedAt = Number.NEGATIVE_INFINITY;

  /** @param spacingMs Between two releases at least; 0 for one in every turn of the event loop. */
  constructor(spacingMs = 0) {
    this.#spacingMs = spacingMs;
  }

  /**
   * What is written to `stream` from here on goes out at the end of this turn of the event loop, or `spacingMs` after
   * the last release where that is later. `end()` lets it go at once.
   */
  hold(stream: Writable): void {
    if (stream.writableCorked > 0) return;
    stream.cork();
    if (this.#streams.push(stream) > 1) return;
    if (this.#spacingMs === 0 || performance.now() - this.#releasedAt >= this.#spacingMs) setImmediate(this.#release);
    else setTimeout(this.#release, this.#spacingMs);
  }

  readonly #release = (): void => {
    const streams = this.#streams;
    this.#streams = [];
    if (this.#spacingMs > 0) this.#releasedAt = performance.now();
    for (const stream of streams) stream.uncork();
  };
}
