/** Who waits to be told that something is new, by its name. A bell that nobody waits for is not heard. */
export class Bells {
  readonly #waiting = new Map<string, Set<() => void>>();

  ring(name: string): void {
    for (const wake of this.#waiting.get(name) ?? []) wake();
  }

  /** From now on it is heard; `heard` resolves with it, after `ms`, or when the signal says so. */
  listen(name: string, ms: number, signal: AbortSignal): { readonly heard: Promise<void>; end(): void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => end(), ms);
    const wake = (): void => end();
    const all = this.#waiting.get(name) ?? new Set();
    this.#waiting.set(name, all.add(wake));
    signal.addEventListener('abort', wake);
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake);
      all.delete(wake);
      if (all.size === 0 && this.#waiting.get(name) === all) this.#waiting.delete(name);
      resolve();
    };
    if (signal.aborted) end();
    return { heard: promise, end };
  }
}
