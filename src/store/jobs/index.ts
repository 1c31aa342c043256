import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type {
  JobQuery,
  JobRun,
  JobSettings,
  JobSpec,
  JobStore,
  LastRuns,
  MadeRun,
  NamedJob,
  NewRun,
  PutOrigin,
  RunEnd,
  RunQuery,
  StoredJob,
} from '../../core/jobs.ts';
import type { TenantScope } from '../../core/request-record.ts';
import type { Sealing } from '../../core/sealing.ts';
import type { Database, JobsTable } from '../schema.ts';
import { lookAt, lookOf } from './look.ts';
import { nextRevision, putJobs } from './putting.ts';
import { jobColumns, jobOf } from './rows.ts';
import type { Runs } from './runs.ts';
import {
  beatRun,
  claimRun,
  createRun,
  endRun,
  findRun,
  handOverRun,
  lastRuns,
  listRuns,
  openRuns,
  pruneRuns,
  ranSince,
  visible,
} from './runs.ts';
import { JobSeals } from './seals.ts';

/** Jobs that are removed in one statement. */
const removedAtOnce = 100;

/**
 * Jobs in SQLite or PostgreSQL: every method is one statement, so that it needs neither transactions nor locks; one for
 * each hundred where there are many.
 */
export class KyselyJobStore implements JobStore {
  readonly #db: Kysely<Database>;

  readonly #seals: JobSeals;
  readonly #runs: Runs;
  #look: string | null = null;

  /** @param db May run each of its statements wherever it likes. */
  constructor(db: Kysely<Database>, sealing: Sealing) {
    this.#db = db;
    this.#seals = new JobSeals(sealing);
    this.#runs = { db, seals: this.#seals };
  }

  async changed(revision: number): Promise<StoredJob[]> {
    const rows = await this.#db.selectFrom('jobs').select(jobColumns).where('revision', '>=', revision).execute();
    return rows.map(jobOf);
  }

  async jobs(): Promise<StoredJob[]> {
    const rows = await this.#db
      .selectFrom('jobs')
      .select(jobColumns)
      .where('removed_at', 'is', null)
      .orderBy('name')
      .execute();
    return rows.map(jobOf);
  }

  async page(scope: TenantScope, { limit, after = '' }: JobQuery): Promise<StoredJob[]> {
    const rows = await this.#db
      .selectFrom('jobs')
      .select(jobColumns)
      .where(visible(scope))
      .where('removed_at', 'is', null)
      .where('name', '>', after)
      .orderBy('name')
      .limit(limit)
      .execute();
    return rows.map(jobOf);
  }

  async find(names: readonly string[]): Promise<StoredJob[]> {
    const rows = await this.#db
      .selectFrom('jobs')
      .select(jobColumns)
      .where('name', 'in', names)
      .where('removed_at', 'is', null)
      .execute();
    return rows.map(jobOf);
  }

  async settings(names: readonly string[]): Promise<ReadonlyMap<string, JobSettings | null>> {
    if (names.length === 0) return new Map();
    const rows = await this.#db
      .selectFrom('jobs')
      .select(['name', 'tenant', 'spec', 'sealed'])
      .where('name', 'in', names)
      .execute();
    return new Map(rows.map((row) => [row.name, this.#settingsOf(row)]));
  }

  #settingsOf(row: Pick<JobsTable, 'name' | 'tenant' | 'spec' | 'sealed'>): JobSettings | null {
    if (row.sealed === null) return (JSON.parse(row.spec) as JobSpec).settings;
    const opened = this.#seals.openSettings(row, row.sealed);
    return opened.isReadable ? opened.value : null;
  }

  async count(tenant: string): Promise<number> {
    const rows = await this.#db
      .selectFrom('jobs')
      .select((e) => e.fn.countAll<number>().as('count'))
      .where('tenant', '=', tenant)
      .where('source', '=', 'api')
      .where('removed_at', 'is', null)
      .execute();
    return rows[0]?.count ?? 0;
  }

  async put(job: NamedJob, from: PutOrigin): Promise<boolean> {
    return (await this.putAll([job], from)).length > 0;
  }

  putAll(jobs: readonly NamedJob[], from: PutOrigin): Promise<string[]> {
    return putJobs(this.#runs, jobs, from);
  }

  async remove(name: string, source: StoredJob['source'], now: number): Promise<boolean> {
    return (await this.removeAll([name], source, now)) > 0;
  }

  async removeAll(names: readonly string[], source: StoredJob['source'], now: number): Promise<number> {
    let removed = 0;
    for (let first = 0; first < names.length; first += removedAtOnce) {
      const rows = await this.#db
        .updateTable('jobs')
        .set({ removed_at: now, revision: nextRevision })
        .where('name', 'in', names.slice(first, first + removedAtOnce))
        .where('source', '=', source)
        .where('removed_at', 'is', null)
        .returning('name')
        .execute();
      removed += rows.length;
    }
    return removed;
  }

  async pause(name: string, by: string, now: number): Promise<boolean> {
    const rows = await this.#db
      .updateTable('jobs')
      .set({ paused_at: now, paused_by: by, revision: nextRevision })
      .where('name', '=', name)
      .where('removed_at', 'is', null)
      .where('paused_at', 'is', null)
      .returning('name')
      .execute();
    return rows.length > 0;
  }

  async resume(name: string, now: number): Promise<boolean> {
    const { rows } = await sql`
      update jobs set paused_at = null, paused_by = null, revision = ${nextRevision},
        cursor = case when cursor < ${now} then ${now} else cursor end
      where name = ${name} and removed_at is null and paused_at is not null returning name`.execute(this.#db);
    return rows.length > 0;
  }

  async advance(job: string, cursor: number, isBack = false): Promise<void> {
    await this.#db
      .updateTable('jobs')
      .set({ cursor })
      .where('name', '=', job)
      .where('cursor', isBack ? '>' : '<', cursor)
      .returning('name')
      .execute();
  }

  create(run: NewRun): Promise<MadeRun> {
    return createRun(this.#db, run);
  }

  open(now: number): Promise<JobRun[]> {
    return openRuns(this.#db, now);
  }

  look(revision: number, now: number): Promise<{ readonly jobs: StoredJob[]; readonly runs: JobRun[] }> {
    this.#look ??= lookOf(this.#db);
    return lookAt(this.#db, this.#look, { revision, now });
  }

  claim(run: JobRun, owner: string, now: number): Promise<JobRun | null> {
    return claimRun(this.#runs, run, owner, now);
  }

  beat(id: string, token: number, said: string): Promise<boolean> {
    return beatRun(this.#db, id, token, said);
  }

  end(run: Pick<JobRun, 'id' | 'tenant' | 'lease'>, end: RunEnd): Promise<boolean> {
    return endRun(this.#runs, run, end);
  }

  handOver(id: string, token: number, now: number): Promise<boolean> {
    return handOverRun(this.#db, id, token, now);
  }

  run(scope: TenantScope, id: string): Promise<JobRun | undefined> {
    return findRun(this.#runs, scope, id);
  }

  runs(scope: TenantScope, query: RunQuery): Promise<JobRun[]> {
    return listRuns(this.#runs, scope, query);
  }

  lastRuns(names?: readonly string[]): Promise<LastRuns[]> {
    return lastRuns(this.#db, names);
  }

  ranSince(time: number): Promise<string[]> {
    return ranSince(this.#db, time);
  }

  prune(before: number, keep: number): Promise<number> {
    return pruneRuns(this.#db, before, keep);
  }
}
