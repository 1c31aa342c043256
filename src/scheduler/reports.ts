import type { JobRun, StoredJob } from '../core/jobs.ts';
import { lateMs } from '../core/jobs.ts';
import type { JobFigures } from '../telemetry/job-metrics.ts';
import type { Log } from '../telemetry/log.ts';
import type { Catalogue } from './catalogue.ts';
import type { JobEvents, RunSummary } from './contract.ts';

/** The label of jobs that were not made by the configuration. */
const madeOverApi = '(api)';

/** Who is told of what people want to know at once. */
export interface Notifier {
  failed(run: JobRun, summary: RunSummary): void;
  late(run: JobRun, latenessMs: number): void;
  succeeded(run: JobRun): void;
  /** Tells what is to be told yet, for so long at the most. */
  stop(graceMs: number): Promise<void>;
}

/** Says what happens to jobs in the log, in the metrics, and to whoever wants to be told. */
export function reportsOf({
  log,
  figures,
  notifier,
  catalogue,
}: {
  readonly log: Log;
  readonly figures: JobFigures;
  readonly notifier: Notifier | null;
  readonly catalogue: () => Catalogue;
}): JobEvents {
  const labelOf = (job: string): string => (catalogue().get(job)?.job.source === 'config' ? job : madeOverApi);
  return {
    started(run, latenessMs, isBrought) {
      const isLate = latenessMs > lateMs && run.cause !== 'manual';
      if (run.cause !== 'manual') figures.started(labelOf(run.job), latenessMs);
      log.debug({ event: 'job_started', job: run.job, run: run.id, latenessMs, isBrought });
      if (!isLate) return;
      log.warn({ event: 'job_late', job: run.job, run: run.id, latenessMs });
      notifier?.late(run, latenessMs);
    },
    ended(run, summary) {
      const { status, durationMs, error } = summary;
      const job = labelOf(run.job);
      figures.ended(job, status, durationMs);
      const facts = { job: run.job, run: run.id, attempt: run.attempts, durationMs: Math.round(durationMs) };
      if (status === 'succeeded') {
        log.debug({ event: 'job_succeeded', ...facts });
        figures.succeeded(job, Date.now());
        notifier?.succeeded(run);
      } else if (status === 'retrying') log.warn({ event: 'job_retries', ...facts, err: error });
      else {
        log.error({ event: 'job_failed', ...facts, err: error });
        notifier?.failed(run, summary);
      }
    },
    skipped(job: StoredJob, due: number) {
      figures.ended(labelOf(job.name), 'skipped', null);
      log.info({ event: 'job_skipped', job: job.name, due: new Date(due).toISOString() });
    },
    missed: (job, letGo) => log.warn({ event: 'job_missed', job: job.name, dueTimes: letGo }),
    unreadable: (job, err) => log.error({ event: 'job_unreadable', job: job.name, err }),
    takenOver: (run) => log.warn({ event: 'job_taken_over', job: run.job, run: run.id, attempt: run.attempts }),
    lost: (run) => log.warn({ event: 'job_lost', job: run.job, run: run.id }),
    storeFailed: (err) => log.error({ event: 'job_store_failed', err }),
    storeRecovered: () => log.info({ event: 'job_store_recovered' }),
  };
}
