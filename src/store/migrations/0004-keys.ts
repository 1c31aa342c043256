import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** What sealing at rest and encrypted messages need. */
export const keys: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('data_keys')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('tenant', 'text', (column) => column.notNull())
      .addColumn('purpose', 'text', (column) => column.notNull())
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('master', 'text', (column) => column.notNull())
      .addColumn('wrapped', 'blob', (column) => column.notNull())
      .addColumn('uses', 'integer', (column) => column.notNull())
      .addColumn('created_at', 'integer', (column) => column.notNull())
      .addColumn('retired_at', 'integer')
      .execute();
    // However many processes make the first key of a tenant at once, one of them is it.
    await sql`create unique index data_keys_active on data_keys (tenant, purpose) where state = 'active'`.execute(db);
    await db.schema.createIndex('data_keys_of').on('data_keys').columns(['tenant', 'purpose']).execute();
    await db.schema
      .createTable('sealed_values')
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('sealed', 'blob', (column) => column.notNull())
      .addColumn('created_at', 'integer', (column) => column.notNull())
      .addColumn('updated_at', 'integer', (column) => column.notNull())
      .addPrimaryKeyConstraint('sealed_values_pk', ['kind', 'name'])
      .execute();
    await db.schema
      .createTable('seen_messages')
      .addColumn('id', 'blob', (column) => column.primaryKey().notNull())
      .addColumn('expires_at', 'integer', (column) => column.notNull())
      .modifyEnd(sql`without rowid`)
      .execute();
    await db.schema.createIndex('seen_messages_expiry').on('seen_messages').column('expires_at').execute();
    await db.schema.alterTable('api_keys').addColumn('sealed', 'blob').execute();
  },
};
