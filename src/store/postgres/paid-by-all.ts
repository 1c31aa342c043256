import type { PaidRow } from './worker-protocol.ts';

/** What all processes on one PostgreSQL have paid of the budgets of now, as the thread that looks there tells of it. */
export class PaidByAll {
  #paid: ReadonlyMap<string, bigint> | null = null;

  heard(rows: readonly PaidRow[]): void {
    this.#paid = new Map(rows.map(([budget, start, used]) => [`${start} ${budget}`, BigInt(used)]));
  }

  /** `null` while it has not been told. What can't be asked stays as it was known: what was paid never becomes less. */
  of(budget: string, start: number): bigint | null {
    return this.#paid === null ? null : (this.#paid.get(`${start} ${budget}`) ?? 0n);
  }
}
