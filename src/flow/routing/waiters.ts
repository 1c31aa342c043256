export type Woken = 'woken' | 'too late' | 'aborted' | 'full';

/** A bounded line of requests: first come, first served. */
export class Waiters {
  readonly waitMs: number;
  readonly #max: number;
  readonly #line = new Map<number, () => void>();
  #lastTicket = 0;

  /** @param settings.waitMs How long one may wait, in ms. */
  constructor(settings: { readonly max: number; readonly waitMs: number }) {
    this.#max = settings.max;
    this.waitMs = settings.waitMs;
  }

  get size(): number {
    return this.#line.size;
  }

  /** A place in the order of the line, which is kept by who has to wait again. */
  ticket(): number {
    return ++this.#lastTicket;
  }

  /**
   * Resolves when it is this one's turn, after `limitMs`, or when `signal` is aborted. At once where the line is full.
   * @param times.againMs When all shall look again, even if nobody wakes them; `null` where time changes nothing.
   */
  wait(
    ticket: number,
    { limitMs, againMs }: { readonly limitMs: number; readonly againMs: number | null },
    signal: AbortSignal,
  ): Promise<Woken> {
    if (signal.aborted) return Promise.resolve('aborted');
    if (this.#line.size >= this.#max) return Promise.resolve('full');
    return new Promise((resolve) => {
      const leave = (woken: Woken): void => {
        this.#line.delete(ticket);
        clearTimeout(timer);
        clearTimeout(again);
        signal.removeEventListener('abort', onAbort);
        resolve(woken);
      };
      const onAbort = (): void => leave('aborted');
      const timer = setTimeout(() => leave('too late'), limitMs);
      const again =
        againMs === null || againMs >= limitMs ? undefined : setTimeout(() => this.wakeAll(), Math.ceil(againMs));
      signal.addEventListener('abort', onAbort);
      this.#line.set(ticket, () => leave('woken'));
    });
  }

  /** The one who waits longest may look again; of those behind `ticket`, where that one has looked in vain. */
  wakeNext(ticket = 0): void {
    let next = Number.POSITIVE_INFINITY;
    for (const other of this.#line.keys()) if (other > ticket && other < next) next = other;
    this.#line.get(next)?.();
  }

  /** All may look again, those who wait longest first: there may be room for more than one. */
  wakeAll(): void {
    const tickets = [...this.#line.keys()].toSorted((a, b) => a - b);
    for (const ticket of tickets) this.#line.get(ticket)?.();
  }
}
