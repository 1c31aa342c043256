/** What the books of rules keep of a meter, to be told where it goes. */
export interface Forgettable {
  /** Makes whoever found it by a rule forget it; `null` where nobody keeps it. */
  forget: (() => void) | null;
}

/** So many are kept without a look at whether anybody needs them. */
const usualMost = 50_000;

/** Meters that are looked at for each new one. */
const looks = 4;

/**
 * Meters by their ids. Where there are many, each new one has a few others looked at, in turn, and those that count
 * nothing go: so as many stay as are busy, and a third more at the most, and nobody who is new waits for a look at all.
 */
export class Meters<M extends Forgettable> {
  readonly #byId = new Map<string, M>();
  readonly #most: number;
  /** Where the next look begins. */
  #turn: Iterator<readonly [string, M]> | null = null;

  constructor(most = usualMost) {
    this.#most = most;
  }

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): M | undefined {
    return this.#byId.get(id);
  }

  values(): IterableIterator<M> {
    return this.#byId.values();
  }

  /** @param isIdle Whether nothing would be lost without one. */
  add(id: string, meter: M, isIdle: (meter: M) => boolean): void {
    if (this.#byId.size >= this.#most) this.#makeRoom(isIdle);
    this.#byId.set(id, meter);
  }

  /** Forgets those that are not to stay, whatever they count. */
  retain(stays: (meter: M) => boolean): void {
    for (const [id, meter] of this.#byId) if (!stays(meter)) this.#byId.delete(id);
  }

  #makeRoom(isIdle: (meter: M) => boolean): void {
    this.#turn ??= this.#byId.entries();
    for (let i = 0; i < looks; i++) {
      const { value, done } = this.#turn.next();
      if (done === true) {
        this.#turn = null;
        return;
      }
      const [id, meter] = value;
      if (!isIdle(meter)) continue;
      this.#byId.delete(id);
      meter.forget?.();
    }
  }
}
