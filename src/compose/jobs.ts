import type { Backups } from '../core/backups.ts';
import type { Clock } from '../core/clock.ts';
import type { Config } from '../config/config.ts';
import type { Jobs } from '../core/jobs.ts';
import type { Random } from '../core/random.ts';
import type { CacheCleaner } from '../core/response-cache.ts';
import type { SealPurpose } from '../core/sealing.ts';
import type { JobType } from '../scheduler/contract.ts';
import { Scheduler } from '../scheduler/index.ts';
import { backup } from '../scheduler/jobs/backup.ts';
import { cacheCleanup } from '../scheduler/jobs/cache-cleanup.ts';
import { keyRotation } from '../scheduler/jobs/key-rotation.ts';
import { retention } from '../scheduler/jobs/retention.ts';
import { JobsService } from '../scheduler/service.ts';
import type { Store } from '../store/index.ts';
import { jobFigures } from '../telemetry/job-metrics.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** What jobs are made of. */
export interface JobsHouse {
  readonly config: Config;
  readonly store: Store;
  readonly backups: Backups;
  /** `null` where this process keeps no answers. */
  readonly cache: CacheCleaner | null;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
}

/** The jobs of a process. */
export interface JobsHere {
  readonly service: Jobs;
  /** `null` where this process runs none. */
  readonly scheduler: Scheduler | null;
}

/** @param isRunning Whether jobs run in this process; else they can be seen and asked for. */
export function jobsOf(house: JobsHouse, isRunning: boolean): JobsHere {
  const { config, store, log, metrics, clock, random } = house;
  const types = jobTypesOf(house);
  const scheduler = isRunning
    ? new Scheduler({
        store: store.jobs,
        types,
        clock,
        random,
        log,
        configured: config.schedule.jobs,
        figures: jobFigures(metrics),
        notifier: null,
        graceMs: config.server.shutdownTimeoutMs,
      })
    : null;
  const { timezone } = config.schedule;
  const service = new JobsService({ store: store.jobs, clock, types, timezone, poke: () => scheduler?.poke() });
  return { service, scheduler };
}

function jobTypesOf({ config, store, backups, cache, clock }: JobsHouse): ReadonlyMap<string, JobType> {
  const types = [
    cacheCleanup(cache),
    backup(backups),
    retention({
      removeOld: () => store.removeOld(config.retention),
      store: store.jobs,
      clock,
      historyDays: config.schedule.historyDays,
    }),
    // The configuration knows the names of purposes, and nobody else makes such jobs.
    keyRotation({ rotate: (purpose) => store.vault.renew({ purpose: purpose as SealPurpose | undefined }) }),
  ];
  return new Map(types.map((type) => [type.name, type]));
}
