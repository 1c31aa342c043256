import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Jobs, and what became of each of their due times. */
export const jobs: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('jobs')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('tenant', 'text', (column) => column.notNull())
      .addColumn('source', 'text', (column) => column.notNull())
      .addColumn('spec', 'text', (column) => column.notNull())
      .addColumn('revision', 'integer', (column) => column.notNull())
      .addColumn('cursor', 'integer', (column) => column.notNull())
      .addColumn('paused_at', 'integer')
      .addColumn('paused_by', 'text')
      .addColumn('removed_at', 'integer')
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('created_at', 'integer', (column) => column.notNull())
      .execute();
    await db.schema.createIndex('jobs_revision').on('jobs').column('revision').execute();
    await db.schema
      .createTable('job_runs')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('job', 'text', (column) => column.notNull())
      .addColumn('due', 'integer', (column) => column.notNull())
      .addColumn('tenant', 'text', (column) => column.notNull())
      .addColumn('cause', 'text', (column) => column.notNull())
      .addColumn('started_by', 'text', (column) => column.notNull())
      .addColumn('status', 'text', (column) => column.notNull())
      .addColumn('exclusive', 'integer', (column) => column.notNull())
      .addColumn('available_at', 'integer', (column) => column.notNull())
      .addColumn('attempts', 'integer', (column) => column.notNull())
      .addColumn('token', 'integer', (column) => column.notNull())
      .addColumn('beat', 'integer', (column) => column.notNull())
      .addColumn('owner', 'text')
      .addColumn('started_at', 'integer')
      .addColumn('ended_at', 'integer')
      .addColumn('output', 'text')
      .addColumn('error', 'text')
      .addColumn('log', 'text', (column) => column.notNull())
      .execute();
    // What makes a due time one effect: whoever comes second finds it taken.
    await db.schema.createIndex('job_runs_due').unique().on('job_runs').columns(['job', 'due']).execute();
    // And what keeps two runs of a job apart, whoever claims them at the same moment.
    await sql`create unique index job_runs_alone on job_runs (job) where status = 'running' and exclusive = 1`.execute(
      db,
    );
    await sql`create index job_runs_open on job_runs (available_at) where status in ('waiting', 'running')`.execute(db);
    await db.schema.createIndex('job_runs_of').on('job_runs').columns(['job', 'id']).execute();
  },
};
