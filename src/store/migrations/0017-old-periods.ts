import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

/** What budgets paid is read, and removed, by the periods in which they did. */
export const oldPeriods: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema.createIndex('budget_use_by_start').on('budget_use').column('start').execute();
  },
};
