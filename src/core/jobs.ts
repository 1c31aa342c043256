import type { Principal } from './principal.ts';
import type { TenantScope } from './request-record.ts';
import type { Language } from './schedule-words.ts';
import { inWords } from './schedule-words.ts';
import type { Schedule } from './schedule.ts';

/** What is done with due times that were missed: the newest of them, all of them, or none. */
export const catchUps = ['once', 'all', 'skip'] as const;
export type CatchUp = (typeof catchUps)[number];

/** What is done with a due time while the job still runs: nothing, one waits, or it runs beside. */
export const overlaps = ['skip', 'queue', 'allow'] as const;
export type Overlap = (typeof overlaps)[number];

/** What a job's type is given, in plain JSON. No secrets: it is kept in the database. */
export type JobSettings = Readonly<Record<string, unknown>>;

/** A job as it was asked for. Times in ms. */
export interface JobSpec {
  /** What it does: the name of a type. */
  readonly type: string;
  readonly schedule: Schedule;
  readonly catchUp: CatchUp;
  /** How old a missed due time may be, to be run all the same. */
  readonly catchUpWindowMs: number;
  readonly overlap: Overlap;
  /** It begins at random up to so long after its due time. */
  readonly jitterMs: number;
  /** How often a run that failed is tried again. */
  readonly retries: number;
  /** How long after the first failure; twice as long after each further one. */
  readonly retryMs: number;
  /** How long a try may take before it is aborted. */
  readonly timeoutMs: number;
  readonly settings: JobSettings;
  /** On whose word it runs; absent where that is the configuration's. */
  readonly maker?: JobMaker;
}

/** Who made a job over the API, as they were when they did: it does nothing that they might not. */
export interface JobMaker extends Pick<Principal, 'subject' | 'agents' | 'scope' | 'via' | 'credential'> {
  /** In ms since the Unix epoch. */
  readonly at: number;
}

export interface NamedJob extends JobSpec {
  readonly name: string;
  /** Whose it is; `systemTenant` for what keeps Mizan itself going. */
  readonly tenant: string;
}

/** Whose the jobs are that are nobody's in particular. */
export const systemTenant = 'system';

/** The name under which a job that was made over the API is kept: no tenant's is in the way of another's. */
export function keptName(tenant: string, name: string): string {
  return tenant === systemTenant ? name : `${tenant}/${name}`;
}

/** The names that somebody who looks after `scope` may mean by `given`, theirs first. */
export function namesOf(scope: TenantScope, given: string): readonly string[] {
  return typeof scope === 'string' ? [keptName(scope, given), given] : [given];
}

/** A job as it is kept. */
export interface StoredJob extends NamedJob {
  /** The configuration's can be paused, and nothing else, from outside. */
  readonly source: 'config' | 'api';
  /** Every due time up to this one has been dealt with; in ms since the Unix epoch, as all times are. */
  readonly cursor: number;
  readonly pausedAt: number | null;
  readonly pausedBy: string | null;
  readonly createdBy: string;
  readonly createdAt: number;
  /** Rises with every change of any job. */
  readonly revision: number;
  readonly isRemoved: boolean;
  /** Whether what it is given is sealed: then `settings` are empty here, and `JobStore.settings` opens them. */
  readonly isSealed: boolean;
}

/** Where a job comes from that is made or changed. */
export interface PutOrigin {
  readonly source: StoredJob['source'];
  /** Who makes it. */
  readonly by: string;
  /** In ms since the Unix epoch. */
  readonly now: number;
}

export const runStatuses = ['waiting', 'running', 'succeeded', 'failed', 'skipped'] as const;
export type RunStatus = (typeof runStatuses)[number];

/** One due time of a job, or one time that somebody asked for it, and what became of it. */
export interface JobRun {
  readonly id: string;
  readonly job: string;
  readonly tenant: string;
  /** Unique for the job. Of a run that somebody asked for, about when that was. */
  readonly due: number;
  /** Who or what began it: `schedule`, `catch-up`, or `manual`. */
  readonly cause: 'schedule' | 'catch-up' | 'manual';
  readonly startedBy: string;
  readonly status: RunStatus;
  /** From when on it may begin. */
  readonly availableAt: number;
  /** How often it was tried, with the one that runs. */
  readonly attempts: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  /** What it came to, in plain JSON; `null` where there is nothing. */
  readonly output: unknown;
  /** `false` where there is an output that can't be opened any more. */
  readonly isReadable: boolean;
  /** Why it failed, for people. */
  readonly error: string | null;
  /** What it said while it ran, a line each. */
  readonly log: string;
  /** Who runs it: changes with every take-over, and with every sign of life. */
  readonly lease: Lease;
}

/** Whose a run is at the moment. A commit that names an older token is refused. */
export interface Lease {
  readonly token: number;
  /** Counts up as long as its holder lives. */
  readonly beat: number;
  readonly owner: string | null;
}

/** A run that is to be made of a due time. */
export interface NewRun {
  readonly id: string;
  readonly job: string;
  readonly tenant: string;
  readonly due: number;
  readonly cause: JobRun['cause'];
  readonly startedBy: string;
  readonly availableAt: number;
  /** Whether it has to be alone among the job's runs. */
  readonly isExclusive: boolean;
  /** What becomes of it while another of the job's runs goes on: it is skipped, unless so many wait before it. */
  readonly mayWait: number;
  /** How many of the job's runs may wait in any case. */
  readonly mostWaiting: number;
}

/** What became of a run that was to be made. */
export type MadeRun = 'created' | 'skipped' | 'exists' | 'full';

/** How a try ended. */
export interface RunEnd {
  readonly status: 'succeeded' | 'failed' | 'waiting';
  readonly at: number;
  readonly output: unknown;
  readonly error: string | null;
  /** When it is tried again, for `waiting`. */
  readonly availableAt: number;
}

export interface RunQuery {
  /** At most so many, newest first; 1 to 1000. */
  readonly limit: number;
  /** Runs of these jobs. */
  readonly jobs?: readonly string[] | undefined;
  readonly status?: RunStatus | undefined;
  /** Only those before this id. */
  readonly before?: string | undefined;
  readonly ids?: readonly string[] | undefined;
}

export interface JobQuery {
  /** At most so many; 1 to 1000. */
  readonly limit: number;
  /** Only those after this name. */
  readonly after?: string | undefined;
}

/** A job's last run, the end of its last good one, and how many began late since one last began in time. */
export interface LastRuns {
  readonly job: string;
  readonly lastId: string | null;
  readonly lastSuccessAt: number | null;
  readonly lateInARow: number;
}

/** How long a try may take at the most, in seconds: what a timer can hold, less than 25 days. */
export const longestTimeout = 20 * 86_400;

/** From when on after its due time, with its jitter, the start of a run counts as late; in ms. */
export const lateMs = 60_000;

/** How many jobs a tenant may have that were made over the API. */
export const mostJobs = 500;

/** Where jobs and their runs are kept. Every method is one step that is done wholly or not at all. */
export interface JobStore {
  /** All jobs there are, by name. */
  jobs(): Promise<StoredJob[]>;
  /** Those that a tenant may see, by name. */
  page(scope: TenantScope, query: JobQuery): Promise<StoredJob[]>;
  /** Those of these names. */
  find(names: readonly string[]): Promise<StoredJob[]>;
  /** What these jobs are given; `null` where it is sealed and can't be opened. */
  settings(names: readonly string[]): Promise<ReadonlyMap<string, JobSettings | null>>;
  /** How many jobs of a tenant were made over the API. */
  count(tenant: string): Promise<number>;
  /** Those that were changed or removed with this revision or later. */
  changed(revision: number): Promise<StoredJob[]>;
  /**
   * Makes a job, or changes the one of that name where `from` may: the configuration takes over whatever is there.
   * What has another schedule than before begins at `cursor`.
   * @returns Whether it did.
   */
  put(job: NamedJob, from: PutOrigin): Promise<boolean>;
  /** The same for many, a hundred in a step. @returns The names of those for which it did. */
  putAll(jobs: readonly NamedJob[], from: PutOrigin): Promise<readonly string[]>;
  /** Only jobs of that source. Its runs stay in the history. @returns Whether there was one. */
  remove(name: string, source: StoredJob['source'], now: number): Promise<boolean>;
  /** The same for many, a hundred in a step. @returns How many there were. */
  removeAll(names: readonly string[], source: StoredJob['source'], now: number): Promise<number>;
  pause(name: string, by: string, now: number): Promise<boolean>;
  /** Due times that passed meanwhile are not made up for. */
  resume(name: string, now: number): Promise<boolean>;
  /** Notes that everything up to `cursor` was dealt with. @param isBack Where the clock was far ahead, and isn't now. */
  advance(job: string, cursor: number, isBack?: boolean): Promise<void>;
  /**
   * @returns `exists` where this due time was dealt with before, by whomever; `full` where it was asked for by hand, and
   *   as many wait as may.
   */
  create(run: NewRun): Promise<MadeRun>;
  /** Runs that go on, and the first of each job that may begin at `now`, by turns; without their outputs. */
  open(now: number): Promise<JobRun[]>;
  /** What `changed` and `open` give, both as they are at one time: a run's job is among them, or was known before. */
  look(revision: number, now: number): Promise<{ readonly jobs: StoredJob[]; readonly runs: JobRun[] }>;
  /** Takes a run, unless its lease has changed or its job is busy. */
  claim(run: JobRun, owner: string, now: number): Promise<JobRun | null>;
  /** A sign of life, with what was said since the last. @returns Whether the lease still holds. */
  beat(id: string, token: number, said: string): Promise<boolean>;
  /** @returns Whether the lease still held: else nothing was changed. */
  end(run: Pick<JobRun, 'id' | 'tenant' | 'lease'>, end: RunEnd): Promise<boolean>;
  /** Gives a run back that was begun and not finished: somebody else may begin it at once. */
  handOver(id: string, token: number, now: number): Promise<boolean>;
  run(scope: TenantScope, id: string): Promise<JobRun | undefined>;
  runs(scope: TenantScope, query: RunQuery): Promise<JobRun[]>;
  /** Of all jobs there are, or of those of these names. */
  lastRuns(names?: readonly string[]): Promise<LastRuns[]>;
  /** The names of jobs with a run that goes on, waits, or was made at `time` or later, in ms since the Unix epoch. */
  ranSince(time: number): Promise<string[]>;
  /** Removes ended runs that are older than `before`, but the newest `keep` of each job. @returns How many. */
  prune(before: number, keep: number): Promise<number>;
}

/** A job as it is shown. */
export interface JobView extends Omit<StoredJob, 'settings'> {
  /** `null` where they can't be opened any more. */
  readonly settings: JobSettings | null;
  /** Its next due times, at most five. */
  readonly next: readonly number[];
  readonly last: JobRun | null;
  readonly lastSuccessAt: number | null;
}

/** What is asked for over the API. */
export interface JobOrder {
  readonly name: string;
  readonly type: string;
  readonly cron?: string | undefined;
  readonly every?: string | undefined;
  readonly at?: string | undefined;
  readonly timezone?: string | undefined;
  readonly catchUp?: CatchUp | undefined;
  readonly overlap?: Overlap | undefined;
  readonly jitterMs?: number | undefined;
  readonly retries?: number | undefined;
  readonly retryMs?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly catchUpWindowMs?: number | undefined;
  readonly settings: JobSettings;
}

/** What people may do with jobs. */
export interface Jobs {
  /** Those of the tenants, and those that keep Mizan going. */
  list(scope: TenantScope, query: JobQuery): Promise<JobView[]>;
  /** @throws MizanError `not_found`; likewise below. */
  find(scope: TenantScope, name: string): Promise<JobView>;
  history(scope: TenantScope, query: RunQuery): Promise<JobRun[]>;
  findRun(scope: TenantScope, id: string): Promise<JobRun>;
  /** Asks for a run now; whoever runs jobs begins it within a second. @throws MizanError `job_queue_full` */
  run(job: JobView, by: string): Promise<JobRun>;
  pause(job: JobView, by: string): Promise<void>;
  resume(job: JobView): Promise<void>;
  /** @throws MizanError `invalid_request`, `job_exists`. */
  create(order: JobOrder, from: { readonly tenant: string; readonly maker: JobMaker }): Promise<JobView>;
  /** @throws MizanError `job_of_config`. */
  remove(job: JobView): Promise<void>;
}

/** What jobs there are: the names of their types. */
export const jobTypeNames = [
  'cache-cleanup',
  'backup',
  'model-health',
  'retention',
  'key-rotation',
  'price-refresh',
  'agent',
] as const;
export type JobTypeName = (typeof jobTypeNames)[number];

/** Jobs that are there without being asked for, under the names of their types; UTC where no time zone is set. */
export const builtInJobs: Readonly<Partial<Record<JobTypeName, string>>> = {
  'cache-cleanup': '0 * * * *',
  backup: '0 3 * * 0',
  'model-health': '* * * * *',
  retention: '30 * * * *',
};

/** A job as it is shown outside: by the API, and by commands that print JSON. */
export function publicJob(job: JobView, language: Language) {
  const { schedule } = job;
  return {
    name: job.name,
    type: job.type,
    tenant: job.tenant,
    source: job.source,
    schedule: publicSchedule(schedule),
    in_words: inWords(schedule, language),
    catch_up: job.catchUp,
    catch_up_window_s: job.catchUpWindowMs / 1000,
    overlap: job.overlap,
    jitter_s: job.jitterMs / 1000,
    retries: job.retries,
    retry_after_s: job.retryMs / 1000,
    timeout_s: job.timeoutMs / 1000,
    settings: job.settings,
    paused_at: iso(job.pausedAt),
    paused_by: job.pausedBy,
    created_by: job.createdBy,
    created_at: iso(job.createdAt),
    next: job.next.map((time) => iso(time)),
    last: job.last === null ? null : publicRun(job.last),
    last_success_at: iso(job.lastSuccessAt),
  };
}

/** A run as it is shown outside. */
export function publicRun(run: JobRun) {
  const { startedAt, endedAt } = run;
  return {
    id: run.id,
    job: run.job,
    tenant: run.tenant,
    status: run.status,
    cause: run.cause,
    started_by: run.startedBy,
    due: iso(run.due),
    available_at: iso(run.availableAt),
    started_at: iso(startedAt),
    ended_at: iso(endedAt),
    duration_ms: startedAt === null || endedAt === null ? null : Math.max(0, endedAt - startedAt),
    attempts: run.attempts,
    output: run.output,
    is_readable: run.isReadable,
    error: run.error,
    log: run.log,
  };
}

function publicSchedule(schedule: Schedule) {
  switch (schedule.kind) {
    case 'cron':
      return { cron: schedule.cron, timezone: schedule.timezone };
    case 'every':
      return { every_s: schedule.everyMs / 1000 };
    case 'at':
      return { at: iso(schedule.at) };
  }
}

/** The last moment that a date can be, in ms. */
const latestTime = 8.64e15;

function iso(time: number | null): string | null {
  return time === null || Math.abs(time) > latestTime ? null : new Date(time).toISOString();
}
