import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Child rows of the requests that took more than one attempt. */
export const attempts: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .alterTable('requests')
      .addColumn('resumed', 'integer', (column) => column.notNull().defaultTo(0))
      .execute();
    await db.schema
      .createTable('attempts')
      .addColumn('request_id', 'text', (column) => column.notNull())
      .addColumn('seq', 'integer', (column) => column.notNull())
      .addColumn('model', 'text', (column) => column.notNull())
      .addColumn('instance', 'text', (column) => column.notNull())
      .addColumn('provider', 'text', (column) => column.notNull())
      .addColumn('purpose', 'text', (column) => column.notNull())
      .addColumn('outcome', 'text', (column) => column.notNull())
      .addColumn('detail', 'text')
      .addColumn('started_ms', 'real', (column) => column.notNull())
      .addColumn('duration_ms', 'real', (column) => column.notNull())
      .addPrimaryKeyConstraint('attempts_pk', ['request_id', 'seq'])
      .modifyEnd(sql`without rowid`)
      .execute();
  },
};
