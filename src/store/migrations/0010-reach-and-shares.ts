import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Whom a revocation reaches, and who sent an encrypted message. */
export const reachAndShares: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema.alterTable('token_revocations').addColumn('any_revoked_at', 'integer').execute();
    // Those that are there reach everybody, as they did.
    await sql`update token_revocations set any_revoked_at = revoked_at`.execute(db);
    await db.schema
      .alterTable('seen_messages')
      .addColumn('tenant', 'text', (column) => column.notNull().defaultTo(''))
      .execute();
  },
};
