import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Prices of models as their sources had them when they were asked last. */
export const prices: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('prices')
      .addColumn('origin', 'text', (column) => column.primaryKey())
      .addColumn('fetched_at', 'integer', (column) => column.notNull())
      .addColumn('tables', 'text', (column) => column.notNull())
      .addColumn('doubted', 'text', (column) => column.notNull())
      .execute();
  },
};
