import type { ErrorCode } from './errors.ts';

/** What one kind of failed attempt means, for everyone who has to know. */
export interface FailureFacts {
  /** What the caller is told if no other attempt follows. */
  readonly code: ErrorCode;
  /**
   * What comes next, as long as nothing has been sent to the caller:
   * - `instance`: another instance, or another model in its place;
   * - `again`: the same, and where there is no other, this one again after a pause;
   * - `longer`, `lenient`: a model from the list of fallbacks for context length, or for content policy;
   * - `end`: nothing. It would fail anywhere, or nobody waits for it.
   */
  readonly next: 'instance' | 'again' | 'longer' | 'lenient' | 'end';
  /**
   * What it says about the instance:
   * - `failed`: it counts against it;
   * - `busy`: it wants a pause, for as long as it says itself;
   * - `locked`: it refuses our key or account, and will until an operator acts;
   * - `fine`: nothing. Whoever is at fault, it isn't the instance.
   */
  readonly instance: 'failed' | 'busy' | 'locked' | 'fine';
}

/** Every way in which an attempt can end without an answer. Retries, health and metrics all read this table. */
export const failureTable = {
  cancelled: { code: 'client_closed', next: 'end', instance: 'fine' },
  rejected: { code: 'upstream_rejected', next: 'end', instance: 'fine' },
  context_length: { code: 'context_length_exceeded', next: 'longer', instance: 'fine' },
  content_policy: { code: 'content_policy', next: 'lenient', instance: 'fine' },
  unauthorized: { code: 'upstream_unauthorized', next: 'instance', instance: 'locked' },
  unknown_model: { code: 'unknown_model', next: 'instance', instance: 'failed' },
  rate_limited: { code: 'upstream_rate_limited', next: 'instance', instance: 'busy' },
  overloaded: { code: 'upstream_error', next: 'again', instance: 'busy' },
  server_error: { code: 'upstream_error', next: 'again', instance: 'failed' },
  forbidden_address: { code: 'upstream_error', next: 'instance', instance: 'locked' },
  network: { code: 'upstream_error', next: 'again', instance: 'failed' },
  protocol: { code: 'upstream_protocol', next: 'again', instance: 'failed' },
  truncated: { code: 'upstream_truncated', next: 'again', instance: 'failed' },
  timeout_connect: { code: 'upstream_timeout', next: 'again', instance: 'failed' },
  timeout_first_byte: { code: 'upstream_timeout', next: 'instance', instance: 'failed' },
  timeout_first_token: { code: 'upstream_timeout', next: 'instance', instance: 'failed' },
  timeout_idle: { code: 'upstream_timeout', next: 'instance', instance: 'failed' },
  timeout_total: { code: 'upstream_timeout', next: 'end', instance: 'fine' },
} as const satisfies Record<string, FailureFacts>;

export type FailureKind = keyof typeof failureTable;

/** How an attempt failed. `message` is for its own caller; `cause` is for the log. */
export interface Failure {
  readonly kind: FailureKind;
  readonly message: string;
  /** The same in words of ours, where `message` has an upstream's: they may repeat what was said to it. */
  readonly ownWords?: string;
  /** The upstream's HTTP status, where it answered at all. */
  readonly status?: number;
  /** The upstream's own advice, in milliseconds from now. */
  readonly retryAfterMs?: number;
  /** The field that the upstream names as wrong. */
  readonly param?: string;
  readonly cause?: unknown;
}

/** What is kept of a failure, and shown to others than its caller: nothing of what was said. */
export function wordsToKeep({ message, ownWords = message }: Failure): string {
  return ownWords;
}
