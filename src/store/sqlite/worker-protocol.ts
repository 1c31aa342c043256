import type { OverviewQuery } from '../../core/overview.ts';
import type { Retention } from '../../core/retention.ts';
import type { AuditRow } from './audit-chain.ts';

/** What the store's worker is asked. */
export type WorkerQuestion =
  | { readonly kind: 'read'; readonly sql: string; readonly parameters: readonly unknown[] }
  /** Runs one statement that changes something and gives rows back. */
  | { readonly kind: 'write'; readonly sql: string; readonly parameters: readonly unknown[] }
  | { readonly kind: 'checkpoint' }
  | { readonly kind: 'audit'; readonly rows: readonly AuditRow[] }
  /** Reads the whole file. */
  | { readonly kind: 'find damage' }
  | { readonly kind: 'overview'; readonly tenant: string | null; readonly query: OverviewQuery }
  /** Makes the sums of these minutes (since the epoch), and of whatever else is due. */
  | { readonly kind: 'roll up'; readonly minutes: readonly number[] }
  | { readonly kind: 'remove old'; readonly retention: Retention };
