/**
 * What is under way, by name: a `Map` for much that comes and goes.
 *
 * A `Map` outgrows its table again and again, by what was deleted, too. Each table points to the one after it, and keeps
 * what was in it then. So one old table in the old part of the heap keeps all that came later, until a whole collection:
 * with requests, 9 KB of each. Here the tables hold nothing but places, and a place is emptied when it is left.
 */
export class Places<T extends object> {
  readonly #places = new Map<string, { content: T | null }>();

  get(name: string): T | undefined {
    return this.#places.get(name)?.content ?? undefined;
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  set(name: string, content: T): void {
    this.delete(name);
    this.#places.set(name, { content });
  }

  delete(name: string): void {
    const place = this.#places.get(name);
    if (place === undefined) return;
    place.content = null;
    this.#places.delete(name);
  }

  /** The oldest first. */
  values(): T[] {
    return [...this.#places.values()].map(({ content }) => content).filter((content) => content !== null);
  }
}
