import { Gauge } from 'prom-client';
import type { Metrics } from './metrics.ts';
import { CounterFamily, HistogramFamily, SeriesMap } from './series.ts';

/** Which figures there are of a job. Names from outside the configuration never become labels. */
export interface JobFigures {
  ended(job: string, status: 'succeeded' | 'failed' | 'retrying' | 'skipped', durationMs: number | null): void;
  /** @param at In ms since the Unix epoch. */
  succeeded(job: string, at: number): void;
  started(job: string, latenessMs: number): void;
  /** How many of its runs in a row began late, anywhere. */
  late(job: string, inARow: number): void;
}

/** Seconds. From a clean-up to a large backup. */
const durationBuckets = [0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400];

/** Seconds. Up to one all is well. */
const latenessBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600, 86_400];

/** The figures of jobs on `/metrics`, made where jobs are run. */
export function jobFigures(metrics: Metrics): JobFigures {
  const { registry } = metrics;
  const runFamily = new CounterFamily(registry, {
    name: 'mizan_job_runs_total',
    help: 'Runs of jobs by how they ended; skipped for those that were not begun.',
    labelNames: ['job', 'status'],
  });
  const durationFamily = new HistogramFamily(registry, {
    name: 'mizan_job_duration_seconds',
    help: 'From the start of a try to its end.',
    labelNames: ['job'],
    bounds: durationBuckets,
  });
  const latenessFamily = new HistogramFamily(registry, {
    name: 'mizan_job_lateness_seconds',
    help: 'From when a run was due, with its jitter, to its start.',
    labelNames: ['job'],
    bounds: latenessBuckets,
  });
  const runs = new SeriesMap((job, status) => runFamily.series({ job, status }));
  const duration = new SeriesMap((job) => durationFamily.series({ job }));
  const lateness = new SeriesMap((job) => latenessFamily.series({ job }));
  const registers = [registry];
  const success = new Gauge({
    name: 'mizan_job_last_success_timestamp_seconds',
    help: 'When the job last succeeded, anywhere.',
    labelNames: ['job'],
    registers,
  });
  const lateInARow = new Gauge({
    name: 'mizan_job_late_in_a_row',
    help: 'How many runs in a row began more than a minute late, in any process.',
    labelNames: ['job'],
    registers,
  });
  return {
    ended(job, status, durationMs) {
      runs.get(job, status).add();
      if (durationMs !== null) duration.get(job).observe(durationMs / 1000);
    },
    succeeded: (job, at) => success.set({ job }, at / 1000),
    started: (job, latenessMs) => lateness.get(job).observe(latenessMs / 1000),
    late: (job, inARow) => lateInARow.set({ job }, inARow),
  };
}
