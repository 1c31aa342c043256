import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

/** The newest of all machines' audit logs are read page by page, of one tenant or of all. */
export const auditCopiesByTime: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    const place = ['time', 'log', 'seq', 'mac'];
    await db.schema.createIndex('audit_copies_time').on('audit_copies').columns(place).execute();
    const ofTenant = db.schema
      .createIndex('audit_copies_tenant')
      .on('audit_copies')
      .columns(['tenant', ...place]);
    await ofTenant.execute();
  },
};
