import type { Principal } from './principal.ts';

/** One thing that somebody did, or was not allowed to do, to how Mizan is run. Secrets are never part of it. */
export interface AuditEvent {
  /** A noun and a verb: `key.create`, `secret.rotate`, `request.denied`. */
  readonly action: string;
  readonly outcome: 'done' | 'denied' | 'failed';
  /** Who; `null` where nobody proved who they are, `system` for Mizan itself and `operator` for a command. */
  readonly actor: Pick<Principal, 'subject' | 'tenant' | 'via'> | 'system' | 'operator' | null;
  /** Whose data it was about. */
  readonly tenant: string;
  /** What it was done to: `key:3f2a…`. */
  readonly target: string | null;
  /** What changed, in plain JSON; `null` where there was, or is, nothing. */
  readonly before: unknown;
  readonly after: unknown;
  /** The caller's address; `null` for a command. */
  readonly from: string | null;
  readonly requestId: string | null;
}

/** Where administrative actions and denials are kept: appended to, never changed, and chained by hashes. */
export interface AuditLog {
  /** Never throws: an audit log that is away is reported, and fails no request. */
  record(event: AuditEvent): void;
}
