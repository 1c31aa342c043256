import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

/** The audit logs of all machines on one PostgreSQL, as they were written there. With SQLite it stays empty. */
export const auditCopies: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('audit_copies')
      .addColumn('log', 'text', (column) => column.notNull())
      .addColumn('host', 'text', (column) => column.notNull())
      .addColumn('seq', 'integer', (column) => column.notNull())
      .addColumn('time', 'integer', (column) => column.notNull())
      .addColumn('tenant', 'text', (column) => column.notNull())
      .addColumn('action', 'text', (column) => column.notNull())
      .addColumn('outcome', 'text', (column) => column.notNull())
      .addColumn('actor', 'text')
      .addColumn('target', 'text')
      .addColumn('before', 'text')
      .addColumn('after', 'text')
      .addColumn('from_address', 'text')
      .addColumn('request_id', 'text')
      .addColumn('count', 'integer', (column) => column.notNull())
      // In hex: a key of bytes is compared differently by the engines.
      .addColumn('mac', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('audit_copies_pk', ['log', 'seq', 'mac'])
      .execute();
  },
};
