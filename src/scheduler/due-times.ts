/** Something that is due at a time, or never. */
export interface Due {
  /** In ms since the Unix epoch; `null` for never. */
  readonly nextDue: number | null;
}

interface Entry<T> {
  readonly due: number;
  readonly of: T;
}

/** So many entries that say nothing any more are no reason to begin anew. */
const fewStale = 64;

/**
 * Finds what is due first, in a time that hardly grows with how much there is: a binary heap. What has changed since it
 * was added is added again, and its older entry dropped when it comes to the top.
 */
export class DueTimes<T extends Due> {
  #heap: Entry<T>[] = [];
  readonly #isCurrent: (of: T) => boolean;

  /** @param isCurrent Whether what was added is still to be done; asked when its time has come to the top. */
  constructor(isCurrent: (of: T) => boolean) {
    this.#isCurrent = isCurrent;
  }

  /** @param count How many there are in all, so that entries that say nothing any more don't pile up. */
  add(of: T, count: number): void {
    if (of.nextDue === null) return;
    if (this.#heap.length > 2 * count + fewStale) this.#dropStale();
    this.#heap.push({ due: of.nextDue, of });
    this.#rise(this.#heap.length - 1);
  }

  /** What is due first; `undefined` where nothing ever is. */
  first(): T | undefined {
    for (;;) {
      const [top] = this.#heap;
      if (top === undefined) return undefined;
      if (this.#says(top)) return top.of;
      this.#drop();
    }
  }

  /** Takes out what is due up to `time`, soonest first. What is added meanwhile is taken, too, where it is due. */
  *take(time: number): Iterable<T> {
    for (let top = this.first(); top !== undefined; top = this.first()) {
      if (top.nextDue === null || top.nextDue > time) return;
      this.#drop();
      yield top;
    }
  }

  /** Takes away the top. */
  #drop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink(0);
  }

  #says({ due, of }: Entry<T>): boolean {
    return of.nextDue === due && this.#isCurrent(of);
  }

  #dropStale(): void {
    const seen = new Set<T>();
    this.#heap = this.#heap
      .filter((entry) => this.#says(entry) && !seen.has(entry.of) && seen.add(entry.of))
      .toSorted((a, b) => a.due - b.due);
  }

  #rise(from: number): void {
    for (let at = from; at > 0;) {
      const parent = (at - 1) >> 1;
      if (!this.#swapIfLater(parent, at)) return;
      at = parent;
    }
  }

  #sink(from: number): void {
    for (let at = from; ;) {
      const left = 2 * at + 1;
      const sooner = this.#dueAt(left + 1) < this.#dueAt(left) ? left + 1 : left;
      if (!this.#swapIfLater(at, sooner)) return;
      at = sooner;
    }
  }

  #dueAt(at: number): number {
    return this.#heap[at]?.due ?? Number.POSITIVE_INFINITY;
  }

  #swapIfLater(upper: number, lower: number): boolean {
    const [a, b] = [this.#heap[upper], this.#heap[lower]];
    if (a === undefined || b === undefined || a.due <= b.due) return false;
    this.#heap[upper] = b;
    this.#heap[lower] = a;
    return true;
  }
}
