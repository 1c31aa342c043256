import type { OverviewQuery } from '../../core/overview.ts';
import type { RequestQuery } from '../../core/request-record.ts';
import type { Retention } from '../../core/retention.ts';
import type { StopFlag } from '../stop-flag.ts';

/** What the thread for PostgreSQL is asked. */
export type PostgresQuestion =
  | { readonly kind: 'read'; readonly sql: string; readonly parameters: readonly unknown[] }
  /** Of a tenant, or of all where it is `null`; as it is shown outside. */
  | { readonly kind: 'page'; readonly tenant: string | null; readonly query: RequestQuery }
  | { readonly kind: 'overview' | 'overview in JSON'; readonly tenant: string | null; readonly query: OverviewQuery }
  | { readonly kind: 'remove old'; readonly retention: Retention; readonly stop: StopFlag }
  /** What all have paid, for who can't wait until it is told. */
  | { readonly kind: 'paid' }
  /** Answered once all that was written before is in PostgreSQL. */
  | { readonly kind: 'settle' }
  /** There is something to send again. */
  | { readonly kind: 'wake' }
  /** Something was changed that others are to know of at once. */
  | { readonly kind: 'changed' };

/** What it tells of itself, whenever that changes. */
export interface PostgresState {
  readonly isAway: boolean;
  /** Why; `null` where it isn't. */
  readonly reason: string | null;
  /** Rows of the request log that wait in the local database. */
  readonly waiting: number;
  /** Rows that PostgreSQL refused, so far. */
  readonly refused: number;
}

/** What a budget was paid in a period, in picodollars; as `budget_use` has it. */
export type PaidRow = readonly [budget: string, start: number, used: string];

/** What the thread tells unasked. */
export type PostgresNews =
  | { readonly kind: 'state'; readonly state: PostgresState }
  /** What all have paid of the budgets of now. */
  | { readonly kind: 'paid'; readonly rows: readonly PaidRow[] };
