import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

/** What was purged from the cache, and could not be removed from Redis yet: a process that starts goes on with it. */
export const unfinishedPurges: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('unfinished_purges')
      .addColumn('note', 'text', (column) => column.primaryKey().notNull())
      .execute();
  },
};
