import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** What tenants' jobs are given and put out is sealed; rows from before are, too, once Mizan has run for a while. */
export const sealedJobs: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const table of ['jobs', 'job_runs']) {
      await db.schema.alterTable(table).addColumn('sealed', 'blob').execute();
      // By the id of the key, which begins at the second byte: a rotation asks for the rows under it.
      const key = sql`substr(sealed, 2, 8)`;
      await sql`create index ${sql.ref(`${table}_sealed`)} on ${sql.table(table)} (${key}) where sealed is not null`.execute(
        db,
      );
    }
    // How many of a job are open is asked at every due time.
    await sql`create index job_runs_open_of on job_runs (job) where status in ('waiting', 'running')`.execute(db);
    // What is still in clear: none, soon.
    await sql`create index jobs_clear on jobs (name) where sealed is null and tenant <> 'system'`.execute(db);
    await sql`create index job_runs_clear on job_runs (id)
      where sealed is null and tenant <> 'system' and output is not null`.execute(db);
  },
};
