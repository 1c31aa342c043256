export type Woken = 'woken' | 'too late' | 'aborted' | 'full';

/** A bounded line of requests: first come, first served. */
export class Waiters {
  readonly waitMs: number;
  readonly #max: number;
  readonly #line = new Set<() => void>();

  /** @param settings.waitMs How long one may wait, in ms. */
  constructor(settings: { readonly max: number; readonly waitMs: number }) {
    this.#max = settings.max;
    this.waitMs = settings.waitMs;
  }

  get size(): number {
    return this.#line.size;
  }

  /** Resolves when it is this one's turn, after `limitMs`, or when `signal` is aborted. At once where the line is full. */
  wait(limitMs: number, signal: AbortSignal): Promise<Woken> {
    if (signal.aborted) return Promise.resolve('aborted');
    if (this.#line.size >= this.#max) return Promise.resolve('full');
    return new Promise((resolve) => {
      const leave = (woken: Woken): void => {
        this.#line.delete(wake);
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        resolve(woken);
      };
      const wake = (): void => leave('woken');
      const onAbort = (): void => leave('aborted');
      const timer = setTimeout(() => leave('too late'), limitMs);
      signal.addEventListener('abort', onAbort);
      this.#line.add(wake);
    });
  }

  /** The one who waits longest may look again. */
  wakeOne(): void {
    const [first] = this.#line;
    first?.();
  }
}
