import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

/** How long requests waited for room in limits. */
export const queued: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema.alterTable('requests').addColumn('queued_ms', 'real').execute();
  },
};
