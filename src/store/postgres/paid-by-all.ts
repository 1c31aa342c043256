import type { Kysely } from 'kysely';
import type { Database } from '../schema.ts';

/** How often it is asked, in ms. */
const everyMs = 1000;

/** The longest period but `total`, with a day to spare for time zones, in ms. */
const longestMs = 33 * 86_400_000;

/** What all processes on one PostgreSQL have paid of the budgets of now, asked behind the requests. */
export class PaidByAll {
  readonly #database: Kysely<Database>;
  #paid: ReadonlyMap<string, bigint> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isAsking = false;

  constructor(database: Kysely<Database>) {
    this.#database = database;
  }

  /** Asks once, and then every second. @param isAwaited Whether somebody is there to answer now. */
  async start(isAwaited: boolean): Promise<void> {
    this.#timer = setInterval(() => void this.#refresh(), everyMs).unref();
    if (isAwaited) await this.#refresh();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  of(budget: string, start: number): bigint | null {
    return this.#paid === null ? null : (this.#paid.get(`${start} ${budget}`) ?? 0n);
  }

  /** What can't be asked stays as it was known: what was paid never becomes less. */
  async #refresh(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const rows = await this.#database
        .selectFrom('budget_use')
        .select(['budget', 'start', 'used'])
        .where((where) => where.or([where('start', '=', 0), where('start', '>', Date.now() - longestMs)]))
        .execute();
      this.#paid = new Map(rows.map(({ budget, start, used }) => [`${start} ${budget}`, BigInt(used)]));
    } catch {
      // The store says itself that its database is away.
    } finally {
      this.#isAsking = false;
    }
  }
}
