import type { Selectable } from 'kysely';
import { sql } from 'kysely';
import type { JobRun, JobSpec, RunStatus, StoredJob } from '../../core/jobs.ts';
import type { JobRunsTable, JobsTable } from '../schema.ts';
import type { JobSeals } from './seals.ts';

/** Of a job, all but what is sealed: that is opened for those who need it. */
export const jobColumns = [
  'name',
  'tenant',
  'source',
  'spec',
  'revision',
  'cursor',
  'paused_at',
  'paused_by',
  'removed_at',
  'created_by',
  'created_at',
  sql<number>`case when sealed is null then 0 else 1 end`.as('is_sealed'),
] as const;

/** How these are called. */
export const jobFields = jobColumns.map((column) => (typeof column === 'string' ? column : 'is_sealed'));

export function jobOf(row: Selectable<Omit<JobsTable, 'sealed'>> & { readonly is_sealed: number }): StoredJob {
  return {
    ...(JSON.parse(row.spec) as JobSpec),
    name: row.name,
    tenant: row.tenant,
    source: row.source as StoredJob['source'],
    cursor: row.cursor,
    pausedAt: row.paused_at,
    pausedBy: row.paused_by,
    createdBy: row.created_by,
    createdAt: row.created_at,
    revision: row.revision,
    isRemoved: row.removed_at !== null,
    isSealed: row.is_sealed === 1,
  };
}

export type RunRow = Selectable<JobRunsTable>;

/** @param seals Opens the output; without it, there is none. */
export function runOf(row: Omit<RunRow, 'output' | 'sealed'> & Partial<RunRow>, seals?: JobSeals): JobRun {
  return {
    id: row.id,
    job: row.job,
    tenant: row.tenant,
    due: row.due,
    cause: row.cause as JobRun['cause'],
    startedBy: row.started_by,
    status: row.status as RunStatus,
    availableAt: row.available_at,
    attempts: row.attempts,
    startedAt: row.started_at,
    endedAt: row.ended_at,
    ...outputOf(row, seals),
    error: row.error,
    log: row.log,
    lease: { token: row.token, beat: row.beat, owner: row.owner },
  };
}

function outputOf(row: Pick<RunRow, 'id' | 'tenant'> & Partial<RunRow>, seals: JobSeals | undefined) {
  const { output = null, sealed = null } = row;
  if (seals === undefined || (output === null && sealed === null)) return { output: null, isReadable: true };
  // From before there were seals.
  if (sealed === null) return { output: JSON.parse(output ?? 'null') as unknown, isReadable: true };
  const opened = seals.openOutput(row, sealed);
  return opened.isReadable ? { output: opened.value, isReadable: true } : { output: null, isReadable: false };
}
