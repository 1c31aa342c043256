import type { ErrorCode } from './errors.ts';

/** What one kind of failed attempt means. */
export interface FailureFacts {
  /** Whose fault it is. Only an instance's own failures count against its health. */
  readonly blame: 'instance' | 'caller' | 'nobody';
  /** Whether another instance may succeed, as long as nothing has been sent to the caller. */
  readonly retry: boolean;
  /** What the caller is told if no other attempt follows. */
  readonly code: ErrorCode;
}

/** Every way in which an attempt can end without an answer. Retry, health and metrics all read this table. */
export const failureTable = {
  cancelled: { blame: 'nobody', retry: false, code: 'client_closed' },
  rejected: { blame: 'caller', retry: false, code: 'upstream_rejected' },
  unauthorized: { blame: 'instance', retry: true, code: 'upstream_unauthorized' },
  unknown_model: { blame: 'instance', retry: true, code: 'unknown_model' },
  rate_limited: { blame: 'instance', retry: true, code: 'upstream_rate_limited' },
  overloaded: { blame: 'instance', retry: true, code: 'upstream_error' },
  server_error: { blame: 'instance', retry: true, code: 'upstream_error' },
  network: { blame: 'instance', retry: true, code: 'upstream_error' },
  protocol: { blame: 'instance', retry: true, code: 'upstream_protocol' },
  truncated: { blame: 'instance', retry: true, code: 'upstream_truncated' },
  timeout_connect: { blame: 'instance', retry: true, code: 'upstream_timeout' },
  timeout_first_byte: { blame: 'instance', retry: true, code: 'upstream_timeout' },
  timeout_idle: { blame: 'instance', retry: true, code: 'upstream_timeout' },
  timeout_total: { blame: 'instance', retry: false, code: 'upstream_timeout' },
} as const satisfies Record<string, FailureFacts>;

export type FailureKind = keyof typeof failureTable;

/** How an attempt failed. `message` is safe to show; `cause` is for the log. */
export interface Failure {
  readonly kind: FailureKind;
  readonly message: string;
  /** The upstream's HTTP status, where it answered at all. */
  readonly status?: number;
  /** The upstream's own advice, in milliseconds from now. */
  readonly retryAfterMs?: number;
  /** The field that the upstream names as wrong. */
  readonly param?: string;
  readonly cause?: unknown;
}
