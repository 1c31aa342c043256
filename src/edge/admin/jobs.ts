import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { MizanError } from '../../core/errors.ts';
import type { JobRun, JobView } from '../../core/jobs.ts';
import {
  catchUps,
  longestTimeout,
  namesOf,
  overlaps,
  publicJob,
  publicRun,
  runStatuses,
  systemTenant,
} from '../../core/jobs.ts';
import { didYouMean } from '../../core/nearest.ts';
import { isTimeZone } from '../../core/period.ts';
import { includesRole } from '../../core/principal.ts';
import type { Language } from '../../core/schedule-words.ts';
import type { EdgeContext } from '../http/context.ts';
import { orNull, readBody, seconds } from './body.ts';
import { readQuery } from './query.ts';

/** `GET /api/jobs`: those of the tenant, and those that keep Mizan itself going. */
export async function listJobs({ jobs }: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { language, limit, after } = readQuery(listing, listingWords, request);
  const found = await jobs.list(request.tenantScope, { limit, after });
  const next = found.length === limit ? (found.at(-1)?.name ?? null) : null;
  const shown: unknown[] = [];
  for (const job of found) {
    shown.push(shownJob(request, job, language));
    if (shown.length % shownAtOnce === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return { jobs: shown, next_after: next };
}

/** How many are put into words in one turn of the event loop. */
const shownAtOnce = 100;

/** `GET /api/jobs/:name` */
export async function getJob({ jobs }: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { language } = readQuery(showing, listingWords, request);
  return shownJob(request, await jobs.find(request.tenantScope, nameOf(request)), language);
}

const showing = z.strictObject({ tenant: z.string().optional(), language: z.enum(['en', 'ar']).default('en') });
const listing = showing.extend({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  after: z
    .string()
    .max(500)
    .regex(/^\P{Cc}+$/u)
    .optional(),
});
const listingWords = {
  language: 'must be en or ar',
  limit: 'must be a whole number from 1 to 1000',
  after: 'must be the name of a job',
};

const runId = /^run_[0-9a-z]{26}$/;

const runsQuery = z.strictObject({
  tenant: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(20),
  status: z.enum(runStatuses).optional(),
  before: z.string().regex(runId).optional(),
});
const runsWords = {
  limit: 'must be a whole number from 1 to 1000',
  status: `must be one of ${runStatuses.join(', ')}`,
  before: 'must be the id of a run',
};

/** `GET /api/jobs/:name/runs` and `GET /api/job-runs`: the history, newest first. */
export async function listJobRuns({ jobs }: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { tenant: _, ...query } = readQuery(runsQuery, runsWords, request);
  const { name } = request.params as { readonly name?: string };
  if (name !== undefined) checkName(name);
  const scope = request.tenantScope;
  const runs = await jobs.history(scope, { ...query, jobs: name === undefined ? undefined : namesOf(scope, name) });
  // A job that was removed has its history still; one that never was has none.
  const isAnyOf = query.status === undefined && query.before === undefined;
  if (name !== undefined && runs.length === 0 && isAnyOf) await jobs.find(scope, name);
  return { runs: runs.map((run) => shownRun(request, run)) };
}

/** `GET /api/job-runs/:id`: one run, with what it said. */
export async function getJobRun({ jobs }: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { id } = request.params as { readonly id: string };
  if (!runId.test(id)) throw new MizanError('not_found', 'There is no run of that id.');
  return shownRun(request, await jobs.findRun(request.tenantScope, id));
}

const year = 366 * 86_400;

/** A time such as `90s`, or a number of seconds; becomes ms. */
function span(least: number, most: number) {
  return seconds.refine((given) => given >= least && given <= most).transform((given) => given * 1000);
}

const order = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/),
  type: z.string().default('agent'),
  cron: orNull(z.string().max(200)),
  every: orNull(z.string()),
  at: orNull(z.string()),
  timezone: orNull(z.string()),
  catch_up: orNull(z.enum(catchUps)),
  overlap: orNull(z.enum(overlaps)),
  jitter: orNull(span(0, year)),
  retries: orNull(z.int().min(0).max(20)),
  retry_after: orNull(span(1, year)),
  timeout: orNull(span(1, longestTimeout)),
  catch_up_window: orNull(span(0, year)),
  settings: z.record(z.string(), z.unknown()).default({}),
});

const orderWords = {
  name: 'must be 1 to 64 letters, digits, ".", "_" or "-", beginning with a letter or digit',
  type: 'must be the name of a type of job',
  cron: 'must be a text of 200 characters at the most',
  every: 'must be a text such as 90s',
  at: 'must be a text such as 2026-12-24T18:00',
  timezone: 'must be a time zone such as Asia/Riyadh',
  catch_up: `must be one of ${catchUps.join(', ')}`,
  overlap: `must be one of ${overlaps.join(', ')}`,
  jitter: 'must be a time such as 30s, of 366 days at the most',
  retries: 'must be a whole number from 0 to 20',
  retry_after: 'must be a time such as 30s, from a second to 366 days',
  timeout: 'must be a time such as 1h, from a second to 20 days',
  catch_up_window: 'must be a time such as 7d, of 366 days at the most',
  settings: 'must be an object',
};

/** `POST /api/jobs`: a job beside those of the configuration. */
export async function createJob(
  { jobs, flow }: EdgeContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  request.audit = { action: 'job.create' };
  const given = readBody(order, request, orderWords);
  const { name, type, settings, timezone } = given;
  if (timezone !== null) checkTimeZone(timezone);
  if (type === 'agent') mayCall(request, settings['agent']);
  else mayTouchMizan(request);
  const tenant = typeof request.tenantScope === 'string' ? request.tenantScope : request.principal.tenant;
  const wanted = {
    name,
    type,
    cron: given.cron ?? undefined,
    every: given.every ?? undefined,
    at: given.at ?? undefined,
    timezone: timezone ?? undefined,
    catchUp: given.catch_up ?? undefined,
    overlap: given.overlap ?? undefined,
    jitterMs: given.jitter ?? undefined,
    retries: given.retries ?? undefined,
    retryMs: given.retry_after ?? undefined,
    timeoutMs: given.timeout ?? undefined,
    catchUpWindowMs: given.catch_up_window ?? undefined,
    settings,
  };
  const { subject, agents, scope, via, credential } = request.principal;
  const maker = { subject, agents, scope, via, credential, at: flow.clock.now() };
  const job = await jobs.create(wanted, { tenant, maker });
  // What is said to an agent is sealed where it is kept, and not told elsewhere.
  const { input: _, ...told } = settings;
  const after = { ...wanted, settings: told };
  request.audit = { action: 'job.create', tenant: job.tenant, target: `job:${name}`, after };
  void reply.code(201);
  return shownJob(request, job, 'en');
}

/** `DELETE /api/jobs/:name` */
export async function removeJob({ jobs }: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const job = await touched({ jobs }, request, 'job.remove');
  await jobs.remove(job);
  return shownJob(request, job, 'en');
}

/** `POST /api/jobs/:name/run`: asks for a run and answers 202; `GET /api/job-runs/:id` says how it does. */
export async function runJob({ jobs }: EdgeContext, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const job = await touched({ jobs }, request, 'job.run');
  const run = await jobs.run(job, request.principal.subject);
  void reply.code(202);
  return shownRun(request, run);
}

/** `POST /api/jobs/:name/pause` */
export async function pauseJob({ jobs }: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const job = await touched({ jobs }, request, 'job.pause');
  await jobs.pause(job, request.principal.subject);
  return shownJob(request, await jobs.find(request.tenantScope, job.name), 'en');
}

/** `POST /api/jobs/:name/resume` */
export async function resumeJob({ jobs }: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const job = await touched({ jobs }, request, 'job.resume');
  await jobs.resume(job);
  return shownJob(request, await jobs.find(request.tenantScope, job.name), 'en');
}

/** The job that is to be changed, once it is noted and allowed. */
async function touched({ jobs }: Pick<EdgeContext, 'jobs'>, request: FastifyRequest, action: string): Promise<JobView> {
  const name = nameOf(request);
  request.audit = { action, target: `job:${name.slice(0, 100)}` };
  const job = await jobs.find(request.tenantScope, name);
  request.audit = { action, target: `job:${name}`, tenant: job.tenant };
  if (job.tenant === systemTenant) mayTouchMizan(request);
  return job;
}

/** What keeps Mizan going is for those to touch who may look after every tenant: as backups are. */
function mayTouchMizan({ principal }: FastifyRequest): void {
  if (includesRole(principal.role, 'admin') && principal.scope === 'any') return;
  throw new MizanError('forbidden', 'Jobs that keep Mizan itself going need the role admin, for every tenant.');
}

/** @throws MizanError `forbidden` where whoever makes the job may not call its agent either. */
function mayCall({ principal }: FastifyRequest, agent: unknown): void {
  if (principal.agents === null || typeof agent !== 'string' || principal.agents.includes(agent)) return;
  throw new MizanError('forbidden', `This identity may not call the agent "${agent.slice(0, 100)}".`);
}

function shownJob(request: FastifyRequest, job: JobView, language: Language) {
  const last = job.last === null ? null : shownRun(request, job.last);
  const { settings, ...shown } = publicJob(job, language);
  if (maySee(request, job) || settings === null) return { ...shown, settings, last };
  const { input: _, ...others } = settings;
  return { ...shown, settings: others, last };
}

/** What Mizan's own jobs say is of places, tables and keys: not for those who look after one tenant. */
function shownRun(request: FastifyRequest, run: JobRun) {
  if (run.tenant !== systemTenant) return { ...publicRun(run), ...(maySee(request, run) ? {} : { output: null }) };
  return { ...publicRun(run), ...(request.principal.scope === 'any' ? {} : { output: null, error: null, log: '' }) };
}

/** What was said to an agent and what it answered is for operators of the very tenant, as it is in the request log. */
function maySee({ principal }: FastifyRequest, { tenant }: { readonly tenant: string }): boolean {
  return tenant === systemTenant || (includesRole(principal.role, 'operator') && principal.tenant === tenant);
}

function nameOf(request: FastifyRequest): string {
  const { name } = request.params as { readonly name: string };
  checkName(name);
  return name;
}

/** A job's name may have its tenant's before it; no name has what no database takes. @throws MizanError `not_found` */
function checkName(name: string): void {
  if (name.length > 500 || /\p{Cc}/u.test(name)) throw new MizanError('not_found', 'There is no job of that name.');
}

/** @throws MizanError `invalid_request`, with the nearest name. */
function checkTimeZone(zone: string): void {
  if (isTimeZone(zone)) return;
  const hint = didYouMean(zone, ['UTC', ...Intl.supportedValuesOf('timeZone')]);
  throw new MizanError('invalid_request', `timezone must be a time zone such as Asia/Riyadh.${hint}`, {
    param: 'timezone',
  });
}
