import type { JobSettings, JobTypeName, NamedJob } from '../core/jobs.ts';
import { builtInJobs, jobTypeNames, systemTenant } from '../core/jobs.ts';
import type { Schedule } from '../core/schedule.ts';
import { atOf, everyOf } from '../core/schedule.ts';
import type { ScheduleConfig } from './config.ts';
import type { FileSchedule } from './schedule-schema.ts';
import { scheduleSchema } from './schedule-schema.ts';

type FileJob = FileSchedule['jobs'][string];

/** Which keys are of one type alone. */
export const keysOfTypes: Readonly<Record<JobTypeName, readonly string[]>> = {
  'cache-cleanup': [],
  backup: ['keep'],
  'model-health': ['probe'],
  retention: [],
  'key-rotation': ['purpose'],
  'price-refresh': ['from'],
  agent: ['agent', 'input', 'tenant', 'webhook'],
};

/** The type of a job: what it says, else its own name. */
export function typeOf(name: string, type: unknown): JobTypeName | undefined {
  return jobTypeNames.find((known) => known === (type ?? name));
}

/** Every due time is a loss where it is looked once a minute. */
const defaultRetries: Readonly<Partial<Record<JobTypeName, number>>> = { 'model-health': 0 };

/** All jobs that are there: those of the file, and those built in that the file doesn't switch off. */
export function scheduleOf(read: FileSchedule): ScheduleConfig {
  const files: Record<string, FileJob> = Object.assign(Object.create(null), read.jobs) as Record<string, FileJob>;
  const empty = scheduleSchema.shape.jobs.parse({ x: {} })['x'];
  for (const name of Object.keys(builtInJobs))
    if (files[name] === undefined && empty !== undefined) files[name] = empty;
  const jobs = Object.entries(files).flatMap(([name, job]) => {
    const type = typeOf(name, job.type);
    return type === undefined || !job.enabled ? [] : [jobOf(name, type, { job, timezone: read.timezone })];
  });
  const { timezone, driver, webhooks, notify, maxWaiting, history } = read;
  return {
    timezone,
    driver,
    jobs,
    webhooks,
    notify: { webhooks: notify.webhooks, on: notify.on, repeatMs: notify.repeatAfter },
    maxWaiting,
    historyDays: history,
  };
}

function jobOf(
  name: string,
  type: JobTypeName,
  { job, timezone }: { readonly job: FileJob; readonly timezone: string },
): NamedJob {
  return {
    name,
    tenant: type === 'agent' ? (job.tenant ?? 'default') : systemTenant,
    type,
    schedule: whenOf(type, job, job.timezone ?? timezone),
    catchUp: job.catchUp,
    catchUpWindowMs: job.catchUpWindow,
    overlap: job.overlap,
    jitterMs: job.jitter,
    retries: job.retries ?? defaultRetries[type] ?? 2,
    retryMs: job.retryAfter,
    timeoutMs: job.timeout,
    settings: settingsOf(type, job),
  };
}

function whenOf(type: JobTypeName, job: FileJob, timezone: string): Schedule {
  if (job.every !== undefined) return { kind: 'every', everyMs: everyOf(job.every) ?? 0 };
  if (job.at !== undefined) return { kind: 'at', at: atOf(job.at, timezone) ?? 0 };
  return { kind: 'cron', cron: job.cron ?? builtInJobs[type] ?? '', timezone };
}

function settingsOf(type: JobTypeName, job: FileJob): JobSettings {
  const keys = keysOfTypes[type].filter((key) => key !== 'tenant');
  return Object.fromEntries(Object.entries(job).filter(([key]) => keys.includes(key)));
}
