import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { isPostgres } from './dialect.ts';

/** The audit log: appended to, and nothing else. What holds it together is `mac`, a chain over all rows. */
export const audit: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('audit')
      .addColumn('seq', 'integer', (column) => column.primaryKey().notNull())
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
      .addColumn('mac', 'blob', (column) => column.notNull())
      .execute();
    await db.schema.createIndex('audit_by_tenant').on('audit').columns(['tenant', 'seq']).execute();
    // On PostgreSQL nothing is appended: the chain is each data folder's own.
    if (isPostgres(db)) return;
    for (const verb of ['update', 'delete'] as const) {
      await sql`
        create trigger ${sql.ref(`audit_no_${verb}`)} before ${sql.raw(verb)} on audit
        begin select raise(abort, 'the audit log is only ever appended to'); end`.execute(db);
    }
  },
};
