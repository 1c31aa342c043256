import type { Kysely, RawBuilder } from 'kysely';
import { sql } from 'kysely';
import type { JobSettings, NamedJob, PutOrigin } from '../../core/jobs.ts';
import { isPostgres } from '../migrations/dialect.ts';
import type { Database, JobsTable } from '../schema.ts';
import type { JobSeals } from './seals.ts';

/** Jobs in one statement: the longer it takes, the longer its revision is not seen by those who know a newer one. */
const atOnce = 100;

/** Higher than all there are, found in the statement that uses it. */
export const nextRevision = sql<number>`(select coalesce(max(revision), 0) + 1 from jobs)`;

type Before = Pick<JobsTable, 'tenant' | 'source' | 'spec' | 'sealed' | 'removed_at'>;

/** A job on its way into the table. */
interface Row {
  readonly name: string;
  readonly tenant: string;
  readonly spec: string;
  /** In hexadecimal. */
  readonly sealed: string | null;
}

/** @returns The names of those that were made or changed. */
export async function putJobs(
  { db, seals }: { readonly db: Kysely<Database>; readonly seals: JobSeals },
  jobs: readonly NamedJob[],
  from: PutOrigin,
): Promise<string[]> {
  // In one order, so that no two who put the same at once wait for each other.
  const sorted = jobs.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const names: string[] = [];
  for (let first = 0; first < sorted.length; first += atOnce) {
    const some = sorted.slice(first, first + atOnce);
    const before = await rowsBefore(db, some);
    const rows = some.flatMap((job) => {
      const row = rowOf(job, before.get(job.name), seals);
      return isAsItWas(row, before.get(job.name), from) ? [] : [row];
    });
    if (rows.length > 0) names.push(...(await putRows(db, rows, from)));
  }
  return names;
}

async function rowsBefore(db: Kysely<Database>, jobs: readonly NamedJob[]): Promise<ReadonlyMap<string, Before>> {
  const rows = await db
    .selectFrom('jobs')
    .select(['name', 'tenant', 'source', 'spec', 'sealed', 'removed_at'])
    .where(
      'name',
      'in',
      jobs.map(({ name }) => name),
    )
    .execute();
  return new Map(rows.map((row) => [row.name, row]));
}

function rowOf({ name, tenant, ...spec }: NamedJob, before: Before | undefined, seals: JobSeals): Row {
  const sealed = sealedOf({ name, tenant }, spec.settings, { before, seals });
  const open = sealed === null ? spec : { ...spec, settings: {} };
  return { name, tenant, spec: JSON.stringify(open), sealed: hex(sealed) };
}

/** The same bytes as there are where they mean the same, so that a job that is as it was stays as it is. */
function sealedOf(
  job: Pick<NamedJob, 'name' | 'tenant'>,
  settings: JobSettings,
  { before, seals }: { readonly before: Before | undefined; readonly seals: JobSeals },
): Uint8Array | null {
  const sealed = before?.tenant === job.tenant ? before.sealed : null;
  if (sealed !== null) {
    const opened = seals.openSettings(job, sealed);
    if (opened.isReadable && JSON.stringify(opened.value) === JSON.stringify(settings)) return sealed;
  }
  return seals.settings(job, settings);
}

/** Then nothing is written. Only of the configuration's: what is asked for over the API is refused where it is there. */
function isAsItWas({ tenant, spec, sealed }: Row, before: Before | undefined, { source }: PutOrigin): boolean {
  if (before === undefined || before.removed_at !== null || source !== 'config') return false;
  return (
    before.source === 'config' && before.tenant === tenant && before.spec === spec && hex(before.sealed) === sealed
  );
}

async function putRows(db: Kysely<Database>, rows: readonly Row[], { source, by, now }: PutOrigin): Promise<string[]> {
  const onPostgres = isPostgres(db as Kysely<unknown>);
  const given = onPostgres ? postgresRows : sqliteRows;
  const scheduleOf = onPostgres ? postgresSchedule : sqliteSchedule;
  // A job whose schedule is as it was keeps its cursor.
  const isOther = sql`(jobs.removed_at is not null
    or ${scheduleOf(sql`jobs.spec`)} is distinct from ${scheduleOf(sql`excluded.spec`)})`;
  const made = await sql<{ name: string }>`
    insert into jobs (name, tenant, source, spec, revision, cursor, paused_at, paused_by, removed_at, created_by, created_at, sealed)
    select given.name, given.tenant, ${source}, given.spec, ${nextRevision}, ${now}, null, null, null, ${by}, ${now}, given.sealed
    from (${given(JSON.stringify(rows))}) as given
    where true
    on conflict (name) do update set
      tenant = excluded.tenant, source = excluded.source, spec = excluded.spec, sealed = excluded.sealed,
      revision = excluded.revision,
      cursor = case when ${isOther} then excluded.cursor else jobs.cursor end,
      paused_at = case when jobs.removed_at is null then jobs.paused_at else null end,
      paused_by = case when jobs.removed_at is null then jobs.paused_by else null end,
      removed_at = null,
      created_by = case when jobs.removed_at is null then jobs.created_by else excluded.created_by end,
      created_at = case when jobs.removed_at is null then jobs.created_at else excluded.created_at end
    where jobs.removed_at is not null or (excluded.source = 'config'
      and (jobs.spec <> excluded.spec or jobs.sealed is distinct from excluded.sealed
        or jobs.source <> 'config' or jobs.tenant <> excluded.tenant))
    returning name`.execute(db);
  return made.rows.map(({ name }) => name);
}

type Fragment = RawBuilder<unknown>;

const postgresRows = (json: string): Fragment => sql`
  select name, tenant, spec, decode(sealed, 'hex') as sealed
  from json_to_recordset(${json}::json) as each (name text, tenant text, spec text, sealed text) order by name`;

const sqliteRows = (json: string): Fragment => sql`
  select value ->> 'name' as name, value ->> 'tenant' as tenant, value ->> 'spec' as spec,
    unhex(value ->> 'sealed') as sealed
  from json_each(${json})`;

const postgresSchedule = (spec: Fragment): Fragment => sql`(${spec}::json -> 'schedule')::text`;

const sqliteSchedule = (spec: Fragment): Fragment => sql`(${spec} -> 'schedule')`;

function hex(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('hex');
}
