import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { isPostgres } from './dialect.ts';

/** What requests are tagged with, what was said, and the sums per minute, hour and day. */
export const payloadsAndRollups: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema.alterTable('requests').addColumn('session', 'text').execute();
    await db.schema.alterTable('requests').addColumn('tags', 'text').execute();
    await db.schema.alterTable('requests').addColumn('error_message', 'text').execute();
    await db.schema
      .createTable('payloads')
      .addColumn('tenant', 'text', (column) => column.notNull())
      .addColumn('request_id', 'text', (column) => column.notNull())
      .addColumn('sealed', 'blob', (column) => column.notNull())
      .addColumn('request_bytes', 'integer', (column) => column.notNull())
      .addColumn('answer_bytes', 'integer', (column) => column.notNull())
      .addColumn('is_cut', 'integer', (column) => column.notNull())
      .addPrimaryKeyConstraint('payloads_pk', ['tenant', 'request_id'])
      .execute();
    await db.schema
      .createTable('rollups')
      .addColumn('tenant', 'text', (column) => column.notNull())
      .addColumn('grain', 'integer', (column) => column.notNull())
      .addColumn('start', 'integer', (column) => column.notNull())
      .addColumn('agent', 'text', (column) => column.notNull())
      .addColumn('model', 'text', (column) => column.notNull())
      .addColumn('instance', 'text', (column) => column.notNull())
      .addColumn('requests', 'integer', (column) => column.notNull())
      .addColumn('errors', 'integer', (column) => column.notNull())
      .addColumn('input_tokens', 'integer', (column) => column.notNull())
      .addColumn('output_tokens', 'integer', (column) => column.notNull())
      .addColumn('cost_usd', 'real', (column) => column.notNull())
      .addColumn('latency', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('rollups_pk', ['tenant', 'grain', 'start', 'agent', 'model', 'instance'])
      .modifyEnd(sql`without rowid`)
      .execute();
    await db.schema.createIndex('rollups_start').on('rollups').columns(['grain', 'start']).execute();
    await db.schema
      .createTable('rollups_due')
      .addColumn('minute', 'integer', (column) => column.primaryKey().notNull())
      .execute();
    // Rows that failed are few and asked for often; the index holds no others.
    await sql`create index requests_errors on requests (tenant, id) where error_code is not null`.execute(db);
    if (isPostgres(db)) await partition(db);
  },
};

/**
 * On PostgreSQL the log lies in partitions by day, which are dropped whole. An id begins with its time, so that ids
 * bound the days, and the newest are found in the newest partition.
 */
async function partition(db: Kysely<unknown>): Promise<void> {
  for (const [table, id, key] of [
    ['requests', 'id', 'tenant, id'],
    ['attempts', 'request_id', 'request_id, seq'],
    ['payloads', 'request_id', 'tenant, request_id'],
  ] as const) {
    await sql`alter table ${sql.id(table)} rename to ${sql.id(`${table}_whole`)}`.execute(db);
    await sql`create table ${sql.id(table)} (like ${sql.id(`${table}_whole`)} including defaults)
      partition by range (${sql.id(id)})`.execute(db);
    await sql`create table ${sql.id(`${table}_other`)} partition of ${sql.id(table)} default`.execute(db);
    await sql`insert into ${sql.id(table)} select * from ${sql.id(`${table}_whole`)}`.execute(db);
    await sql`drop table ${sql.id(`${table}_whole`)}`.execute(db);
    await sql`alter table ${sql.id(table)} add constraint ${sql.id(`${table}_pk`)} primary key (${sql.raw(key)})`.execute(
      db,
    );
  }
  await sql`create index requests_errors on requests (tenant, id) where error_code is not null`.execute(db);
  // Sums are made over all tenants, span by span. SQLite leaps from tenant to tenant instead.
  await sql`create index requests_id on requests (id)`.execute(db);
}
