import type { NamedJob } from '../core/jobs.ts';

/** A job of Mizan's own, each minute, tried once; and what a test wants otherwise. */
export function jobOf(given: Partial<NamedJob>): NamedJob {
  return {
    name: 'job',
    tenant: 'system',
    type: 'backup',
    schedule: { kind: 'every', everyMs: 60_000 },
    catchUp: 'once',
    catchUpWindowMs: 86_400_000,
    overlap: 'skip',
    jitterMs: 0,
    retries: 0,
    retryMs: 1000,
    timeoutMs: 60_000,
    settings: {},
    ...given,
  };
}
