import { Crowd } from '../queue/crowd.ts';
import type { Standing, Weights } from '../queue/fair-line.ts';
import { FairLine } from '../queue/fair-line.ts';

/** What came of waiting for `T`. */
export type Woken<T> = { readonly got: T } | 'too late' | 'aborted' | 'full';

/** What somebody who waits finds: what it waits for, or when time alone may have made room, in ms; `null` for never. */
export type Look<T> = { readonly got: T } | { readonly againMs: number | null };

export interface Wait<T> extends Standing {
  readonly look: () => Look<T>;
  /** When all shall look again, even if nothing ends; `null` where time changes nothing. */
  readonly againMs: number | null;
  /** In ms. */
  readonly limitMs: number;
  readonly signal: AbortSignal;
}

interface Waiter<T> extends Standing {
  readonly look: () => Look<T>;
  end(woken: Woken<T>): void;
}

export interface WaitersSettings {
  readonly max: number;
  /** How long one may wait, in ms. */
  readonly waitMs: number;
  /** Of tenants; 1 for each that isn't named. */
  readonly weights?: Weights;
}

/**
 * A bounded line of requests in which tenants take turns. What becomes free is handed over at once, so that nobody who
 * comes in between has it first.
 */
export class Waiters<T> {
  readonly waitMs: number;
  readonly #line: FairLine<Waiter<T>>;
  readonly #crowd: Crowd<Waiter<T>>;
  #again: NodeJS.Timeout | undefined;
  #againAt = Number.POSITIVE_INFINITY;

  constructor({ max, waitMs, weights = {} }: WaitersSettings) {
    this.waitMs = waitMs;
    this.#line = new FairLine(weights);
    this.#crowd = new Crowd({ max, maxPerTenant: max, weights });
  }

  get size(): number {
    return this.#line.size;
  }

  /** Resolves with what was found when it was this one's turn; at once where the line is full. */
  wait({ signal, limitMs, againMs, ...waiting }: Wait<T>): Promise<Woken<T>> {
    if (signal.aborted) return Promise.resolve('aborted');
    return new Promise((resolve) => {
      const waiter: Waiter<T> = {
        ...waiting,
        end: (woken) => {
          this.#line.remove(waiter);
          this.#crowd.leave(waiter);
          if (this.#line.size === 0) this.#rest();
          clearTimeout(timer);
          signal.removeEventListener('abort', onAbort);
          resolve(woken);
        },
      };
      const onAbort = (): void => waiter.end('aborted');
      const timer = setTimeout(() => waiter.end('too late'), limitMs);
      signal.addEventListener('abort', onAbort);
      const out = this.#crowd.enter(waiter);
      if (out !== waiter) this.#line.add(waiter);
      out?.end('full');
      if (out !== waiter) this.#lookIn(againMs);
    });
  }

  /** Something may be free: those whose turn it is look, up to the one who is the last to be served. */
  serve(most: number): void {
    let served = 0;
    for (const waiter of this.#line.inOrder()) {
      const found = waiter.look();
      if (!('got' in found)) {
        this.#lookIn(found.againMs);
        continue;
      }
      this.#line.served(waiter);
      waiter.end(found);
      served++;
      if (served >= most) return;
    }
  }

  #lookIn(ms: number | null): void {
    if (ms === null) return;
    const at = performance.now() + Math.ceil(ms);
    if (at >= this.#againAt) return;
    clearTimeout(this.#again);
    this.#againAt = at;
    this.#again = setTimeout(() => {
      this.#againAt = Number.POSITIVE_INFINITY;
      this.serve(Number.POSITIVE_INFINITY);
    }, Math.ceil(ms));
  }

  #rest(): void {
    clearTimeout(this.#again);
    this.#againAt = Number.POSITIVE_INFINITY;
  }
}
