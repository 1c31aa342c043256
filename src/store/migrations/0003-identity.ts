import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** What API keys may do beside their role, their rotation and use, and tokens that were taken back. */
export const identity: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    const added = [
      ['models', 'text'],
      ['limits', 'text'],
      ['rotated_at', 'integer'],
      ['previous_hash', 'text'],
      ['previous_until', 'integer'],
    ] as const;
    for (const [name, type] of added) await db.schema.alterTable('api_keys').addColumn(name, type).execute();
    await db.schema
      .alterTable('api_keys')
      .addColumn('any_tenant', 'integer', (column) => column.notNull().defaultTo(0))
      .execute();
    await db.schema
      .createTable('api_key_uses')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('last_used_at', 'integer', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('token_revocations')
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('value', 'text', (column) => column.notNull())
      .addColumn('tenant', 'text', (column) => column.notNull())
      .addColumn('revoked_at', 'integer', (column) => column.notNull())
      .addColumn('expires_at', 'integer')
      .addPrimaryKeyConstraint('token_revocations_pk', ['kind', 'value', 'tenant'])
      .execute();
    await db.schema
      .createTable('identity_revision')
      .addColumn('revision', 'integer', (column) => column.notNull())
      .execute();
    await sql`insert into identity_revision (revision) values (0)`.execute(db);
  },
};
