import type { OverviewQuery } from '../../core/overview.ts';
import type { RequestQuery } from '../../core/request-record.ts';
import type { Retention } from '../../core/retention.ts';
import type { SharedProgress } from '../shared-progress.ts';
import type { StopFlag } from '../stop-flag.ts';
import type { AuditRow } from './audit-chain.ts';

/** What the thread that reads is asked. */
export type ReaderQuestion =
  | { readonly kind: 'read'; readonly sql: string; readonly parameters: readonly unknown[] }
  /** Of a tenant, or of all where it is `null`; as it is shown outside. */
  | { readonly kind: 'page'; readonly tenant: string | null; readonly query: RequestQuery }
  | { readonly kind: 'overview' | 'overview in JSON'; readonly tenant: string | null; readonly query: OverviewQuery };

/** What the thread that writes is asked. */
export type WorkerQuestion =
  /** Runs one statement that changes something and gives rows back. */
  | { readonly kind: 'write'; readonly sql: string; readonly parameters: readonly unknown[] }
  | { readonly kind: 'checkpoint' }
  | { readonly kind: 'audit'; readonly rows: readonly AuditRow[] }
  /** Makes the sums of these minutes (since the epoch), and of whatever else is due. */
  | { readonly kind: 'roll up'; readonly minutes: readonly number[] }
  | {
      readonly kind: 'remove old';
      readonly retention: Retention;
      readonly stop: StopFlag;
      readonly progress: SharedProgress;
    };
