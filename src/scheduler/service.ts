import type { Clock } from '../core/clock.ts';
import { MizanError } from '../core/errors.ts';
import type {
  JobMaker,
  JobOrder,
  JobQuery,
  JobRun,
  Jobs,
  JobSpec,
  JobStore,
  JobView,
  NamedJob,
  RunQuery,
  StoredJob,
} from '../core/jobs.ts';
import { keptName, mostJobs, namesOf, systemTenant } from '../core/jobs.ts';
import { didYouMean } from '../core/nearest.ts';
import type { TenantScope } from '../core/request-record.ts';
import { everyTenant } from '../core/request-record.ts';
import type { Schedule } from '../core/schedule.ts';
import { atOf, cronProblem, everyOf, timetableOf } from '../core/schedule.ts';
import type { JobType } from './contract.ts';
import { newRunId } from './run-id.ts';

export interface JobsParts {
  readonly store: JobStore;
  readonly clock: Clock;
  /** Types that jobs made over the API may have. */
  readonly types: ReadonlyMap<string, JobType>;
  /** Of jobs that name none. */
  readonly timezone: string;
  /** How many runs of one job may wait. */
  readonly mostWaiting: number;
  /** Told that there may be a run to begin here. */
  readonly poke?: () => void;
}

/** How many due times are shown ahead. */
const ahead = 5;

/** Of how many jobs it is asked at once how they did. */
const atOnce = 50;

/** How long others wait at the most while jobs are made ready to be shown, in ms; a cron's due times take up to three. */
const turnMs = 5;

/** How many names are looked through for the one that was meant. */
const mostNear = 1000;

/** What a job made over the API is where it doesn't say. */
const usual: Omit<JobSpec, 'type' | 'schedule' | 'settings'> = {
  catchUp: 'once',
  catchUpWindowMs: 7 * 86_400_000,
  overlap: 'skip',
  jitterMs: 0,
  retries: 2,
  retryMs: 30_000,
  timeoutMs: 3_600_000,
};

/** What people do with jobs; over the store, whoever runs them. */
export class JobsService implements Jobs {
  readonly #parts: JobsParts;

  constructor(parts: JobsParts) {
    this.#parts = parts;
  }

  async list(scope: TenantScope, query: JobQuery): Promise<JobView[]> {
    const jobs = await this.#parts.store.page(scope, query);
    return this.#views(jobs);
  }

  async find(scope: TenantScope, name: string): Promise<JobView> {
    const { store } = this.#parts;
    const names = namesOf(scope, name);
    const found = (await store.find(names)).filter((job) => isVisible(job, scope));
    const job = names.flatMap((meant) => found.find((each) => each.name === meant) ?? [])[0];
    const [view] = job === undefined ? [] : await this.#views([job]);
    if (view !== undefined) return view;
    const known = await store.page(scope, { limit: mostNear });
    const hint = didYouMean(
      name,
      known.map((each) => each.name),
    );
    throw new MizanError('not_found', `There is no job "${name.slice(0, 100)}".${hint}`);
  }

  /** Some at a time, so that others get to run in between. */
  async #views(jobs: readonly StoredJob[]): Promise<JobView[]> {
    const { store, clock } = this.#parts;
    const views: JobView[] = [];
    let begunAt = clock.monotonic();
    for (let i = 0; i < jobs.length; i += atOnce) {
      const some = jobs.slice(i, i + atOnce);
      const sealed = some.filter(({ isSealed }) => isSealed).map(({ name }) => name);
      const [lasts, settings] = await Promise.all([
        store.lastRuns(some.map(({ name }) => name)),
        store.settings(sealed),
      ]);
      const byJob = new Map(lasts.map((last) => [last.job, last]));
      const ids = some.flatMap(({ name }) => byJob.get(name)?.lastId ?? []);
      const runs = ids.length === 0 ? [] : await store.runs(everyTenant, { limit: ids.length, ids });
      const byId = new Map(runs.map((run) => [run.id, run]));
      for (const job of some) {
        const { lastId = null, lastSuccessAt = null } = byJob.get(job.name) ?? {};
        const last = lastId === null ? null : (byId.get(lastId) ?? null);
        const given = job.isSealed ? (settings.get(job.name) ?? null) : job.settings;
        views.push({ ...job, settings: given, next: this.#next(job), last, lastSuccessAt });
        if (clock.monotonic() - begunAt < turnMs) continue;
        await new Promise((resolve) => setImmediate(resolve));
        begunAt = clock.monotonic();
      }
    }
    return views;
  }

  history(scope: TenantScope, query: RunQuery): Promise<JobRun[]> {
    return this.#parts.store.runs(scope, query);
  }

  async findRun(scope: TenantScope, id: string): Promise<JobRun> {
    const run = await this.#parts.store.run(scope, id);
    if (run === undefined) throw new MizanError('not_found', `There is no run ${id.slice(0, 100)}.`);
    return run;
  }

  async run(job: JobView, by: string): Promise<JobRun> {
    const { store, clock, poke, mostWaiting } = this.#parts;
    const now = clock.now();
    const id = newRunId(now);
    // Due times are whole seconds; what is asked for by hand never takes the place of one.
    for (let due = now % 1000 === 0 ? now + 1 : now; ; due += due % 1000 === 999 ? 2 : 1) {
      const made = await store.create({
        id,
        job: job.name,
        tenant: job.tenant,
        due,
        cause: 'manual',
        startedBy: by,
        availableAt: now,
        isExclusive: job.overlap !== 'allow',
        mayWait: Number.MAX_SAFE_INTEGER,
        mostWaiting,
      });
      if (made === 'full') {
        const words = `${mostWaiting} runs of "${job.name}" wait already, which is as many as schedule.maxWaiting lets.`;
        throw new MizanError('job_queue_full', `${words} Ask again when some have run.`);
      }
      if (made !== 'exists') break;
    }
    poke?.();
    return this.findRun(everyTenant, id);
  }

  async pause(job: JobView, by: string): Promise<void> {
    await this.#parts.store.pause(job.name, by, this.#parts.clock.now());
  }

  async resume(job: JobView): Promise<void> {
    await this.#parts.store.resume(job.name, this.#parts.clock.now());
  }

  async create(order: JobOrder, from: { readonly tenant: string; readonly maker: JobMaker }): Promise<JobView> {
    const { store, clock, types } = this.#parts;
    const type = types.get(order.type);
    if (type === undefined) {
      const known = [...types.keys()];
      throw new MizanError('invalid_request', `type must be one of ${known.join(', ')}.`, { param: 'type' });
    }
    const tenant = order.type === 'agent' ? from.tenant : systemTenant;
    const job: NamedJob = {
      ...usual,
      name: keptName(tenant, order.name),
      tenant,
      maker: from.maker,
      type: order.type,
      schedule: this.#scheduleOf(order),
      settings: type.check(order.settings, { tenant, maker: from.maker }),
      catchUp: order.catchUp ?? usual.catchUp,
      overlap: order.overlap ?? usual.overlap,
      jitterMs: order.jitterMs ?? usual.jitterMs,
      retries: order.retries ?? usual.retries,
      retryMs: order.retryMs ?? usual.retryMs,
      timeoutMs: order.timeoutMs ?? usual.timeoutMs,
      catchUpWindowMs: order.catchUpWindowMs ?? usual.catchUpWindowMs,
    };
    if (tenant !== systemTenant && (await store.count(tenant)) >= mostJobs) {
      throw new MizanError('invalid_request', `A tenant has ${mostJobs} jobs at the most; remove one.`);
    }
    const isMade = await store.put(job, { source: 'api', by: from.maker.subject, now: clock.now() });
    if (!isMade) throw new MizanError('job_exists', `There is a job "${order.name}" already.`, { param: 'name' });
    return this.find(everyTenant, job.name);
  }

  async remove(job: JobView): Promise<void> {
    if (job.source === 'config') throw ofConfig(job);
    await this.#parts.store.remove(job.name, 'api', this.#parts.clock.now());
  }

  #scheduleOf({ cron, every, at, timezone = this.#parts.timezone }: JobOrder): Schedule {
    const given = Object.entries({ cron, every, at }).filter(([, value]) => value !== undefined);
    if (given.length !== 1) {
      throw new MizanError('invalid_request', 'One of cron, every and at says when it runs.', { param: 'cron' });
    }
    if (cron !== undefined) {
      const problem = cronProblem(cron);
      if (problem !== undefined) throw new MizanError('invalid_request', `cron: ${problem}.`, { param: 'cron' });
      return { kind: 'cron', cron, timezone };
    }
    if (every !== undefined) {
      const everyMs = everyOf(every);
      if (everyMs !== undefined) return { kind: 'every', everyMs };
      throw new MizanError('invalid_request', 'every must be from a second to 366 days, such as 90s, 15m or 6h.', {
        param: 'every',
      });
    }
    const time = atOf(at ?? '', timezone);
    if (time === undefined) {
      throw new MizanError('invalid_request', 'at must be a time such as 2026-12-24T18:00.', { param: 'at' });
    }
    if (time > this.#parts.clock.now()) return { kind: 'at', at: time };
    const now = new Date(this.#parts.clock.now()).toISOString().slice(0, 16);
    throw new MizanError('invalid_request', `at must be in the future: it is ${now}Z now.`, { param: 'at' });
  }

  #next(job: Pick<StoredJob, 'pausedAt' | 'schedule' | 'cursor'>): number[] {
    if (job.pausedAt !== null) return [];
    const timetable = timetableOf(job.schedule);
    const next: number[] = [];
    for (
      let time = timetable.next(Math.max(job.cursor, this.#parts.clock.now()));
      time !== null && next.length < ahead;
      time = timetable.next(time)
    ) {
      next.push(time);
    }
    return next;
  }
}

/** A tenant's own, and those that keep Mizan going. */
function isVisible(job: Pick<StoredJob, 'tenant'>, scope: TenantScope): boolean {
  return scope === everyTenant || job.tenant === scope || job.tenant === systemTenant;
}

function ofConfig({ name }: Pick<StoredJob, 'name'>): MizanError {
  return new MizanError('job_of_config', `"${name}" is the configuration's: it can be paused here, and changed there.`);
}
