import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const requestsAndKeys: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('requests')
      .addColumn('id', 'text', (column) => column.notNull())
      .addColumn('time', 'integer', (column) => column.notNull())
      .addColumn('tenant', 'text', (column) => column.notNull())
      .addColumn('principal', 'text', (column) => column.notNull())
      .addColumn('agent', 'text')
      .addColumn('model', 'text')
      .addColumn('instance', 'text')
      .addColumn('provider', 'text')
      .addColumn('stream', 'integer', (column) => column.notNull())
      .addColumn('status', 'integer', (column) => column.notNull())
      .addColumn('error_code', 'text')
      .addColumn('attempts', 'integer', (column) => column.notNull())
      .addColumn('cache', 'text', (column) => column.notNull())
      .addColumn('input_tokens', 'integer')
      .addColumn('output_tokens', 'integer')
      .addColumn('cost_usd', 'real')
      .addColumn('usage_source', 'text', (column) => column.notNull())
      .addColumn('gateway_ms', 'real', (column) => column.notNull())
      .addColumn('upstream_ms', 'real', (column) => column.notNull())
      .addColumn('first_token_ms', 'real')
      .addColumn('finish_reason', 'text')
      .addPrimaryKeyConstraint('requests_pk', ['tenant', 'id'])
      // One tree instead of three: a row costs a third less to write, and a tenant's newest lie side by side.
      .modifyEnd(sql`without rowid`)
      .execute();
    await db.schema
      .createTable('api_keys')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('hash', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('tenant', 'text', (column) => column.notNull())
      .addColumn('role', 'text', (column) => column.notNull())
      .addColumn('agents', 'text')
      .addColumn('created_at', 'integer', (column) => column.notNull())
      .addColumn('expires_at', 'integer')
      .addColumn('revoked_at', 'integer')
      .execute();
  },
};
