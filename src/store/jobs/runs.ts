import type { Kysely, SqlBool } from 'kysely';
import { sql } from 'kysely';
import { firstIdAt } from '../../core/ids.ts';
import type { JobRun, LastRuns, MadeRun, NewRun, RunEnd, RunQuery } from '../../core/jobs.ts';
import { lateMs, systemTenant } from '../../core/jobs.ts';
import type { TenantScope } from '../../core/request-record.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { Database } from '../schema.ts';
import type { RunRow } from './rows.ts';
import { runOf } from './rows.ts';
import type { JobSeals } from './seals.ts';

/** The most that is kept of what a run says, in characters. */
const maxLog = 64 * 1024;

/** The most runs that are looked at in one go, and of one job: more than one process begins at a time. */
const maxOpen = { all: 500, ofJob: 16 };

/** How many are opened in one turn of the event loop. */
const openedAtOnce = 20;

/** Where runs are kept, and what opens them. */
export interface Runs {
  readonly db: Kysely<Database>;
  readonly seals: JobSeals;
}

/** A run as whoever has claimed it knows it. */
type Held = Pick<JobRun, 'id' | 'tenant' | 'lease'>;

const text = (value: string) => sql<string>`cast(${value} as text)`;
const whole = (value: number) => sql<number>`cast(${value} as bigint)`;

/** Whether a statement broke a rule of uniqueness, in the words of either engine. */
function isTaken(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (/unique constraint|UNIQUE/.test(cause.message)) return true;
    if (typeof cause.cause === 'string' && /unique constraint|UNIQUE/.test(cause.cause)) return true;
  }
  return false;
}

/** What a tenant may see: its own, and what keeps Mizan itself going. */
export function visible(scope: TenantScope) {
  if (scope === everyTenant) return sql<SqlBool>`1 = 1`;
  return sql<SqlBool>`tenant in (${scope}, ${systemTenant})`;
}

/** One statement, so that two that come at once can't both make it. */
export async function createRun(db: Kysely<Database>, run: NewRun): Promise<MadeRun> {
  const exclusive = run.isExclusive ? 1 : 0;
  // In the words of the index of open runs, so that a long history is not looked through.
  const open = sql`select count(*) from job_runs where job = ${run.job} and status in ('waiting', 'running')`;
  const waits = sql<SqlBool>`${whole(run.mostWaiting)} > (${open} and status = 'waiting')`;
  const fits = sql<SqlBool>`${whole(run.mayWait)} >= (${open}) and ${waits}`;
  // What was asked for by hand is run whatever the clock says; a due time only while the job stands and isn't past it.
  const stands =
    run.cause === 'manual'
      ? waits
      : sql`exists (select 1 from jobs where name = ${run.job} and removed_at is null and paused_at is null and cursor < ${run.due})`;
  const { rows } = await sql<{ status: string }>`
    insert into job_runs (id, job, due, tenant, cause, started_by, status, exclusive, available_at, attempts, token, beat, log, ended_at)
    select ${text(run.id)}, ${text(run.job)}, ${whole(run.due)}, ${text(run.tenant)}, ${text(run.cause)}, ${text(run.startedBy)},
      case when ${fits} then 'waiting' else 'skipped' end, ${whole(exclusive)}, ${whole(run.availableAt)}, 0, 0, 0, '',
      case when ${fits} then null else ${whole(run.availableAt)} end
    where ${stands}
    on conflict (job, due) do nothing
    returning status`.execute(db);
  const [made] = rows;
  if (made === undefined) return (await isThere(db, run)) ? 'exists' : 'full';
  return made.status === 'waiting' ? 'created' : 'skipped';
}

async function isThere(db: Kysely<Database>, { cause, job, due }: NewRun): Promise<boolean> {
  if (cause !== 'manual') return true;
  const { rows } = await sql`select 1 as there from job_runs where job = ${job} and due = ${whole(due)}`.execute(db);
  return rows.length > 0;
}

/** What has to be known of a run to begin it, or to take it over. */
export const openColumns = [
  'id',
  'job',
  'due',
  'tenant',
  'cause',
  'started_by',
  'status',
  'exclusive',
  'available_at',
  'attempts',
  'token',
  'beat',
  'owner',
  'started_at',
  'ended_at',
  'error',
  'log',
] as const;

/** However many of one job or tenant wait, they are in nobody's way: each job's first, then each one's second. */
export function openQuery(now: number) {
  const columns = sql.join(openColumns.map((column) => sql.ref(column)));
  return sql<Omit<RunRow, 'output' | 'sealed'>>`
    select ${columns} from (
      select placed.*, row_number() over (partition by tenant, status order by place, available_at, id) as turn from (
        select ${columns}, row_number() over (partition by job, status order by available_at, id) as place
        from job_runs where status in ('waiting', 'running') and available_at <= ${whole(now)}) as placed
      where status = 'running' or place <= ${sql.lit(maxOpen.ofJob)}) as queued
    order by case when status = 'running' then 0 else turn end, available_at, id limit ${sql.lit(maxOpen.all)}`;
}

export async function openRuns(db: Kysely<Database>, now: number): Promise<JobRun[]> {
  const { rows } = await openQuery(now).execute(db);
  return rows.map((row) => runOf(row));
}

/** By the primary key, whose ids sort by time, and by the index of open runs. */
export async function ranSince(db: Kysely<Database>, time: number): Promise<string[]> {
  const { rows } = await sql<{ readonly job: string }>`
    select job from job_runs where id >= ${firstIdAt(time).replace('req_', 'run_')}
    union select job from job_runs where status in ('waiting', 'running')`.execute(db);
  return rows.map(({ job }) => job);
}

/** Only as it was seen: whoever else took it meanwhile, or showed a sign of life, keeps it. */
export async function claimRun({ db, seals }: Runs, run: JobRun, owner: string, now: number): Promise<JobRun | null> {
  const { token, beat } = run.lease;
  try {
    const { rows } = await sql<RunRow>`
      update job_runs set status = 'running', owner = ${owner}, token = token + 1, beat = 0, attempts = attempts + 1,
        started_at = coalesce(started_at, ${whole(now)})
      where id = ${run.id} and status = ${run.status} and token = ${token} and beat = ${beat}
        and (exclusive = 0 or not exists (
          select 1 from job_runs other where other.job = ${run.job} and other.status = 'running' and other.exclusive = 1
            and other.id <> ${run.id}))
      returning *`.execute(db);
    return rows[0] === undefined ? null : runOf(rows[0], seals);
  } catch (error) {
    if (isTaken(error)) return null;
    throw error;
  }
}

export async function beatRun(db: Kysely<Database>, id: string, token: number, said: string): Promise<boolean> {
  const { rows } = await sql`
    update job_runs set beat = beat + 1, log = substr(log || ${text(said)}, 1, ${sql.lit(maxLog)})
    where id = ${id} and token = ${token} and status = 'running' returning id`.execute(db);
  return rows.length > 0;
}

export async function endRun({ db, seals }: Runs, { id, tenant, lease }: Held, end: RunEnd): Promise<boolean> {
  const sealed = seals.output({ id, tenant }, end.output);
  const rows = await db
    .updateTable('job_runs')
    .set({
      status: end.status,
      owner: null,
      ended_at: end.status === 'waiting' ? null : end.at,
      available_at: end.availableAt,
      output: sealed !== null || end.output === null || end.output === undefined ? null : JSON.stringify(end.output),
      sealed,
      error: end.error,
    })
    .where('id', '=', id)
    .where('token', '=', lease.token)
    .where('status', '=', 'running')
    .returning('id')
    .execute();
  return rows.length > 0;
}

/** It hasn't failed: the try doesn't count. */
export async function handOverRun(db: Kysely<Database>, id: string, token: number, now: number): Promise<boolean> {
  const rows = await db
    .updateTable('job_runs')
    .set({ status: 'waiting', owner: null, available_at: now, attempts: sql<number>`attempts - 1` })
    .where('id', '=', id)
    .where('token', '=', token)
    .where('status', '=', 'running')
    .returning('id')
    .execute();
  return rows.length > 0;
}

export async function findRun({ db, seals }: Runs, scope: TenantScope, id: string): Promise<JobRun | undefined> {
  const row = await db.selectFrom('job_runs').selectAll().where('id', '=', id).where(visible(scope)).executeTakeFirst();
  return row === undefined ? undefined : runOf(row, seals);
}

export async function listRuns({ db, seals }: Runs, scope: TenantScope, query: RunQuery): Promise<JobRun[]> {
  let select = db.selectFrom('job_runs').selectAll().where(visible(scope));
  if (query.jobs !== undefined) select = select.where('job', 'in', query.jobs);
  if (query.ids !== undefined) select = select.where('id', 'in', query.ids);
  if (query.status !== undefined) select = select.where('status', '=', query.status);
  if (query.before !== undefined) select = select.where('id', '<', query.before);
  const rows = await select.orderBy('id', 'desc').limit(query.limit).execute();
  const runs: JobRun[] = [];
  for (const row of rows) {
    // Opening costs tens of µs each, on the thread that answers.
    if (runs.length % openedAtOnce === openedAtOnce - 1) await new Promise((resolve) => setImmediate(resolve));
    runs.push(runOf(row, seals));
  }
  return runs;
}

/** Each by itself, newest first until it is found, and not over the whole history. */
export async function lastRuns(db: Kysely<Database>, names?: readonly string[]): Promise<LastRuns[]> {
  if (names?.length === 0) return [];
  const its = sql`from job_runs r where r.job = jobs.name and r.tenant = jobs.tenant`;
  const newest = sql`order by r.id desc limit 1`;
  const begun = sql`r.cause <> 'manual' and r.started_at is not null`;
  // A retry is available later than the run was.
  const lateness = sql`r.started_at - case when r.attempts <= 1 then r.available_at else r.due end`;
  const inTime = sql`coalesce((select r.id ${its} and ${begun} and ${lateness} <= ${sql.lit(lateMs)} ${newest}), '')`;
  const { rows } = await sql<LastRuns>`
    select name as job, (select r.id ${its} and r.status <> 'skipped' ${newest}) as "lastId",
      (select r.ended_at ${its} and r.status = 'succeeded' ${newest}) as "lastSuccessAt",
      (select count(*) ${its} and ${begun} and r.id > ${inTime}) as "lateInARow"
    from jobs where removed_at is null ${names === undefined ? sql`` : sql`and name in (${sql.join(names)})`}`.execute(
    db,
  );
  return rows;
}

/** Of each job the newest stay, however old they are. */
export async function pruneRuns(db: Kysely<Database>, before: number, keep: number): Promise<number> {
  const { rows } = await sql`
    delete from job_runs where status in ('succeeded', 'failed', 'skipped') and ended_at < ${whole(before)} and id not in (
      select id from (select id, row_number() over (partition by job order by id desc) as place from job_runs) as placed
      where place <= ${whole(keep)}) returning id`.execute(db);
  return rows.length;
}
