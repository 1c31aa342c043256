import type { Flight } from './flight.ts';

/**
 * What is under way, by what is asked.
 *
 * Each table that a `Map` has grown out of points to the next one, and keeps what was in it then. One such table in the
 * old part of the heap keeps all that came after it, until a whole collection: here, with every request that was ever
 * under way, 9 KB each. So a map holds nothing but a place, and the place is emptied.
 */
export class Flights {
  readonly #places = new Map<string, { flight: Flight | null }>();

  get(hash: string): Flight | undefined {
    return this.#places.get(hash)?.flight ?? undefined;
  }

  has(hash: string): boolean {
    return this.#places.has(hash);
  }

  /** Does nothing where there is another. */
  add(hash: string, flight: Flight): void {
    if (!this.#places.has(hash)) this.#places.set(hash, { flight });
  }

  /** Does nothing where there is another in its place. */
  remove(hash: string, flight: Flight): void {
    const place = this.#places.get(hash);
    if (place?.flight !== flight) return;
    place.flight = null;
    this.#places.delete(hash);
  }
}
