import type { Selectable } from 'kysely';
import type { JobRun, JobSpec, RunStatus, StoredJob } from '../../core/jobs.ts';
import type { JobRunsTable, JobsTable } from '../schema.ts';

export function jobOf(row: Selectable<JobsTable>): StoredJob {
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
  };
}

export function runOf(row: Selectable<JobRunsTable>): JobRun {
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
    output: row.output === null ? null : (JSON.parse(row.output) as unknown),
    error: row.error,
    log: row.log,
    lease: { token: row.token, beat: row.beat, owner: row.owner },
  };
}
