import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { FetchedPrices, FetchedTables } from '../../core/prices.ts';
import type { IdentityEpoch } from './identity-epoch.ts';
import { inTransaction } from './transaction.ts';

/** Prices that were fetched. Whoever remembers them looks at the epoch. */
export class SqlitePrices implements FetchedPrices {
  readonly #database: DatabaseSync;
  readonly #epoch: IdentityEpoch;
  readonly #list: StatementSync;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;

  constructor(database: DatabaseSync, epoch: IdentityEpoch) {
    this.#database = database;
    this.#epoch = epoch;
    this.#list = database.prepare('SELECT origin, fetched_at, tables, doubted FROM prices ORDER BY origin');
    this.#put = database.prepare(
      `INSERT INTO prices (origin, fetched_at, tables, doubted) VALUES (?, ?, ?, ?)
       ON CONFLICT (origin) DO UPDATE
       SET fetched_at = excluded.fetched_at, tables = excluded.tables, doubted = excluded.doubted`,
    );
    this.#remove = database.prepare('DELETE FROM prices WHERE origin = ?');
  }

  get version(): number {
    return this.#epoch.recent();
  }

  all(): FetchedTables[] {
    return this.#list.all().map(({ origin, fetched_at, tables, doubted }) => ({
      from: String(origin),
      fetchedAt: Number(fetched_at),
      tables: JSON.parse(String(tables)) as FetchedTables['tables'],
      doubted: JSON.parse(String(doubted)) as FetchedTables['doubted'],
    }));
  }

  put({ from, fetchedAt, tables, doubted }: FetchedTables): void {
    inTransaction(this.#database, () => {
      this.#put.run(from, fetchedAt, JSON.stringify(tables), JSON.stringify(doubted));
      this.#epoch.raise();
    });
  }

  remove(from: string): boolean {
    return inTransaction(this.#database, () => {
      const { changes } = this.#remove.run(from);
      this.#epoch.raise();
      return changes > 0;
    });
  }
}
