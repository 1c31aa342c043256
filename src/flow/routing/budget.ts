/**
 * A share of the traffic: every request adds `ratio`, every spending takes what it costs. A few spendings are free,
 * so that it also means something where there is little traffic.
 */
export class Budget {
  readonly #ratio: number;
  readonly #most: number;
  #left: number;

  /** @param free What there is at the start, in the unit of what is spent; and with it, the most that is kept. */
  constructor(ratio: number, free: number) {
    this.#ratio = ratio;
    this.#left = free;
    this.#most = Math.max(free, free * 5);
  }

  /** A request came by, of this size. */
  earn(size = 1): void {
    this.#left = Math.min(this.#most, this.#left + this.#ratio * size);
  }

  /** Whether there is as much as `cost`. */
  has(cost = 1): boolean {
    return this.#left >= cost;
  }

  /** Takes `cost` if there is that much. */
  spend(cost = 1): boolean {
    if (!this.has(cost)) return false;
    this.#left -= cost;
    return true;
  }

  /** What was spent and then not needed. */
  giveBack(cost = 1): void {
    this.#left = Math.min(this.#most, this.#left + cost);
  }
}
