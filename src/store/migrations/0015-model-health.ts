import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

/** How instances do, by the minute and when they were looked at last; and what people were told of jobs. */
export const modelHealth: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('instance_minutes')
      .addColumn('model', 'text', (column) => column.notNull())
      .addColumn('instance', 'text', (column) => column.notNull())
      .addColumn('start', 'integer', (column) => column.notNull())
      .addColumn('ok', 'integer', (column) => column.notNull())
      .addColumn('failed', 'integer', (column) => column.notNull())
      .addColumn('ok_ms', 'real', (column) => column.notNull())
      .addColumn('asked', 'integer', (column) => column.notNull())
      .addColumn('unanswered', 'integer', (column) => column.notNull())
      .addPrimaryKeyConstraint('instance_minutes_pk', ['start', 'model', 'instance'])
      .execute();
    await db.schema
      .createTable('instance_checks')
      .addColumn('model', 'text', (column) => column.notNull())
      .addColumn('instance', 'text', (column) => column.notNull())
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('source', 'text', (column) => column.notNull())
      .addColumn('latency_ms', 'real')
      .addColumn('uptime_m5', 'real')
      .addColumn('uptime_h1', 'real')
      .addColumn('uptime_d1', 'real')
      .addColumn('detail', 'text')
      .addColumn('downs', 'integer', (column) => column.notNull())
      .addColumn('since', 'integer', (column) => column.notNull())
      .addColumn('checked_at', 'integer', (column) => column.notNull())
      .addPrimaryKeyConstraint('instance_checks_pk', ['model', 'instance'])
      .execute();
    await db.schema
      .createTable('notices')
      .addColumn('key', 'text', (column) => column.primaryKey().notNull())
      .addColumn('told_at', 'integer', (column) => column.notNull())
      .execute();
  },
};
