import type { Principal } from './principal.ts';
import type { TenantScope } from './request-record.ts';

/** One thing that somebody did, or was not allowed to do, to how Mizan is run. Secrets are never part of it. */
export interface AuditEvent {
  /** A noun and a verb: `key.create`, `secret.rotate`, `request.denied`. */
  readonly action: string;
  readonly outcome: 'done' | 'denied' | 'failed';
  /** Who; `null` where nobody proved who they are, `system` for Mizan itself and `operator` for a command. */
  readonly actor: Pick<Principal, 'subject' | 'tenant' | 'via'> | 'system' | 'operator' | null;
  /** Whose data it was about; `system` where it is nobody's in particular. */
  readonly tenant: string;
  /** What it was done to: `key:3f2a…`. */
  readonly target: string | null;
  /** What changed, in plain JSON; `null` where there was, or is, nothing. */
  readonly before: unknown;
  readonly after: unknown;
  /** The caller's address; `null` for a command. */
  readonly from: string | null;
  readonly requestId: string | null;
  /** How many alike this stands for, where it is more than one. */
  readonly count?: number;
}

/** Where administrative actions and denials are kept: appended to, never changed, and chained by hashes. */
export interface AuditLog {
  /** Never throws: an audit log that is away is reported, and fails no request. */
  record(event: AuditEvent): void;
}

/** An event as it is kept. */
export interface AuditEntry extends Required<AuditEvent> {
  /** From 1, without gaps. */
  readonly seq: number;
  /** In ms since the Unix epoch. */
  readonly time: number;
}

export interface AuditQuery {
  /** At most so many, newest first; 1 to 1000. */
  readonly limit: number;
  /** Only entries before this one. */
  readonly before?: number;
}

/** An entry of the audit log of one of several machines on the same database. */
export interface EntryElsewhere {
  readonly entry: AuditEntry;
  /** Names the log it is of: 16 hex digits. */
  readonly log: string;
  readonly host: string;
  /** Where it stands among those of all machines, to go on from there: a text of digits and underscores. */
  readonly place: string;
}

export interface EverywhereQuery {
  /** At most so many, newest first; 1 to 1000. */
  readonly limit: number;
  /** Only entries after this place, which are older ones. */
  readonly before?: string;
}

/** What the administration reads. */
export interface AuditHistory {
  list(scope: TenantScope, query: AuditQuery): Promise<AuditEntry[]>;
  /**
   * Those of all machines on the same database, as far as they were copied there.
   * @throws MizanError (rejects with it) `invalid_request` where the database is no machine's but this one's.
   */
  everywhere(scope: TenantScope, query: EverywhereQuery): Promise<EntryElsewhere[]>;
  /** All of them, oldest first; a page at a time is in memory. */
  walk(scope: TenantScope): AsyncIterable<AuditEntry>;
}

/** What a command did: `store.audit.record(byOperator({ action: 'key.create', … }))`. */
export function byOperator(
  did: Pick<AuditEvent, 'action' | 'tenant' | 'target'> & Partial<Pick<AuditEvent, 'outcome' | 'before' | 'after'>>,
): AuditEvent {
  return { outcome: 'done', before: null, after: null, ...did, actor: 'operator', from: null, requestId: null };
}

/** An entry as it is shown outside: by the API, by commands that print JSON, and in exports. */
export function publicAuditEntry(entry: AuditEntry) {
  return {
    seq: entry.seq,
    time: new Date(entry.time).toISOString(),
    action: entry.action,
    outcome: entry.outcome,
    actor: entry.actor,
    tenant: entry.tenant,
    target: entry.target,
    before: entry.before,
    after: entry.after,
    from: entry.from,
    request_id: entry.requestId,
    count: entry.count,
  };
}

/** The same of an entry of one of several logs. */
export function publicElsewhere({ host, log, entry }: EntryElsewhere) {
  return { host, log, ...publicAuditEntry(entry) };
}
