import type { AuditRow } from './audit-chain.ts';

/** What the store's worker is asked. */
export type WorkerRequest =
  | { readonly id: number; readonly kind: 'read'; readonly sql: string; readonly parameters: readonly unknown[] }
  | { readonly id: number; readonly kind: 'audit'; readonly rows: readonly AuditRow[] }
  | { readonly id: number; readonly kind: 'checkpoint' };

export type WorkerReply =
  | { readonly id: number; readonly rows: readonly unknown[] }
  | { readonly id: number; readonly error: string };
