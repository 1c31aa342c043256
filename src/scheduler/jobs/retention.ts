import type { JobStore } from '../../core/jobs.ts';
import type { Clock } from '../../core/clock.ts';
import type { OnRemoving, Removed } from '../../core/retention.ts';
import type { JobType } from '../contract.ts';
import { checkedSettings } from '../settings.ts';

const dayMs = 86_400_000;

/** Of every job so many runs stay, however old they are. */
const keepRuns = 20;

/** How often it is said how far it is, in ms: with SQLite much takes its time. */
const tellEveryMs = 60_000;

export interface RetentionParts {
  /** Removes what is older than it is kept, but for jobs. */
  readonly removeOld: (signal: AbortSignal, onProgress: OnRemoving) => Promise<Removed>;
  readonly store: JobStore;
  readonly clock: Clock;
  readonly historyDays: number;
}

/** Removes what is older than it is to be kept. */
export function retention({ removeOld, store, clock, historyDays }: RetentionParts): JobType {
  return {
    name: 'retention',
    isGoneOnWith: true,
    async run({ say, signal }) {
      let toldAt = clock.monotonic();
      const removed = await removeOld(signal, (done, total) => {
        if (clock.monotonic() - toldAt < tellEveryMs) return;
        toldAt = clock.monotonic();
        say(`${done} of about ${total} rows have gone.`);
      });
      signal.throwIfAborted();
      const runs = await store.prune(clock.now() - historyDays * dayMs, keepRuns);
      say(`${removed.requests} requests, ${removed.payloads} payloads, ${removed.rollups} sums and ${runs} runs went.`);
      return { ...removed, runs };
    },
    check: (settings) => checkedSettings(settings, {}),
  };
}
