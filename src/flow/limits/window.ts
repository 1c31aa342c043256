/** Seconds that a window looks back, besides the one that has begun before. */
const length = 60;

const slots = length + 1;

/**
 * How much came in the last 60 seconds, second by second. A second of which only a part is that long ago counts as a
 * whole: within no 60 seconds, wherever they begin, there is more than is let in. Times are in ms, and may be of any
 * clock that doesn't step back.
 */
export class SlidingWindow {
  readonly #slots = new Float64Array(slots);
  /** The newest second that is counted. */
  #second = -Infinity;
  /** Of the 60 newest slots. */
  #sum = 0;

  used(now: number): number {
    this.#advance(now);
    return this.#sum + this.#oldest();
  }

  add(now: number, amount: number): void {
    this.#advance(now);
    this.#put(this.#second, amount);
  }

  /** Adds what another one has counted, second by second. */
  addAll(other: SlidingWindow, now: number): void {
    this.#advance(now);
    for (const [age, amount] of other.ages(now)) this.#put(this.#second - age, amount);
  }

  /** Changes what was added at `at`, as far as that still counts. Nothing falls below 0. */
  adjust(at: number, now: number, amount: number): void {
    this.#advance(now);
    const second = Math.floor(at / 1000);
    if (second < this.#second - length) return;
    const slot = Math.min(second, this.#second);
    this.#put(slot, Math.max(amount, -(this.#slots[slot % slots] ?? 0)));
  }

  /** In how many ms there is room for `amount` more, if nothing else comes; `Infinity` where there never is. */
  waitMs(now: number, limit: number, amount: number): number {
    if (amount > limit) return Infinity;
    let excess = this.used(now) + amount - limit;
    if (excess <= 0) return 0;
    const untilNext = this.#untilNext(now);
    for (let i = 0; i < slots; i++) {
      excess -= this.#slots[(this.#second - length + i) % slots] ?? 0;
      if (excess <= 0) return Math.ceil(untilNext + i * 1000);
    }
    return length * 1000;
  }

  /** In how many ms nothing of it counts any more, if nothing else comes. */
  emptyMs(now: number): number {
    this.#advance(now);
    for (let i = length; i >= 0; i--) {
      if ((this.#slots[(this.#second - length + i) % slots] ?? 0) > 0)
        return Math.ceil(this.#untilNext(now) + i * 1000);
    }
    return 0;
  }

  #untilNext(now: number): number {
    return (1 - Math.min(1, Math.max(0, now / 1000 - this.#second))) * 1000;
  }

  /** What came within the last minute, by how many seconds ago it came. */
  *ages(now: number): Generator<readonly [age: number, amount: number]> {
    this.#advance(now);
    for (let age = 0; age < length; age++) {
      const amount = this.#slots[(this.#second - age + slots) % slots] ?? 0;
      if (amount > 0) yield [age, Math.round(amount)];
    }
  }

  #put(second: number, amount: number): void {
    const index = second % slots;
    this.#slots[index] = (this.#slots[index] ?? 0) + amount;
    if (second > this.#second - length) this.#sum = Math.max(0, this.#sum + amount);
  }

  /** The second before the 60 newest: the last of it is not a minute ago yet. */
  #oldest(): number {
    return this.#slots[(this.#second + 1) % slots] ?? 0;
  }

  #advance(now: number): void {
    const second = Math.floor(now / 1000);
    if (second <= this.#second) return;
    if (second - this.#second > slots) {
      this.#slots.fill(0);
      this.#sum = 0;
      this.#second = second;
      return;
    }
    while (this.#second < second) {
      this.#second++;
      // The slot of the new second is the one of the second that has left altogether.
      this.#slots[this.#second % slots] = 0;
      this.#sum = Math.max(0, this.#sum - this.#oldest());
    }
  }
}
