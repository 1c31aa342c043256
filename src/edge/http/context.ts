import type { ApiKeys } from '../../core/api-key.ts';
import type { Overviews } from '../../core/overview.ts';
import type { AuditHistory } from '../../core/audit.ts';
import type { Backups } from '../../core/backups.ts';
import type { Ledger, LimitRules } from '../../core/limit.ts';
import type { Jobs } from '../../core/jobs.ts';
import type { InstanceChecks } from '../../core/model-health.ts';
import type { ShownPrice } from '../../core/prices.ts';
import type { PayloadHistory } from '../../core/payload.ts';
import type { RequestHistory } from '../../core/request-record.ts';
import type { Revocations } from '../../core/revocation.ts';
import type { Flow } from '../../flow/run.ts';
import type { Messages } from '../../security/messages.ts';
import type { Auditing } from '../admin/auditing.ts';
import type { Authenticator } from '../auth/authenticator.ts';
import type { RunningCalls } from './running.ts';

/** What the routes work with; made once, by the composition root. */
export interface EdgeContext {
  readonly flow: Flow;
  readonly authenticator: Authenticator;
  readonly apiKeys: ApiKeys;
  readonly revocations: Revocations;
  readonly limitRules: LimitRules;
  readonly ledger: Ledger;
  /** Of all models of all providers, as far as they are known. */
  readonly prices: () => readonly ShownPrice[];
  readonly messages: Messages;
  readonly requestHistory: RequestHistory;
  readonly payloadHistory: PayloadHistory;
  readonly running: RunningCalls;
  readonly overviews: Overviews;
  /** How the database is doing. */
  readonly storeState: () => { readonly trouble: string | null; readonly pending: number };
  /** Why Redis is not asked at the moment; `null` where it answers, or is not configured. */
  readonly redisTrouble: () => string | null;
  /** Whether others on the same database count limits apart from this process. */
  readonly limitsApart: () => boolean;
  readonly auditing: Auditing;
  readonly auditHistory: AuditHistory;
  readonly backups: Backups;
  readonly jobs: Jobs;
  readonly instanceChecks: InstanceChecks;
  /** From the moment this process was asked to end: what runs is finished, nothing new is begun. */
  readonly isDraining: () => boolean;
  readonly limits: {
    /** In bytes. */
    readonly body: number;
    /** How long a caller may take for its headers, in ms. */
    readonly headersTimeoutMs: number;
  };
}
