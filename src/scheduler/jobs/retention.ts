import type { JobStore } from '../../core/jobs.ts';
import type { Clock } from '../../core/clock.ts';
import type { Removed } from '../../core/retention.ts';
import type { JobType } from '../contract.ts';
import { checkedSettings } from '../settings.ts';

const dayMs = 86_400_000;

/** Of every job so many runs stay, however old they are. */
const keepRuns = 20;

export interface RetentionParts {
  /** Removes what is older than it is kept, but for jobs. */
  readonly removeOld: (signal: AbortSignal) => Promise<Removed>;
  readonly store: JobStore;
  readonly clock: Clock;
  readonly historyDays: number;
}

/** Removes what is older than it is to be kept. */
export function retention({ removeOld, store, clock, historyDays }: RetentionParts): JobType {
  return {
    name: 'retention',
    async run({ say, signal }) {
      const removed = await removeOld(signal);
      signal.throwIfAborted();
      const runs = await store.prune(clock.now() - historyDays * dayMs, keepRuns);
      say(`${removed.requests} requests, ${removed.payloads} payloads, ${removed.rollups} sums and ${runs} runs went.`);
      return { ...removed, runs };
    },
    check: (settings) => checkedSettings(settings, {}),
  };
}
