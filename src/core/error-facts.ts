/** What the table of errors says of one code. */
export interface ErrorFacts {
  /** HTTP status of the answer (RFC 9110). */
  readonly status: number;
  /** Coarse family, for programs that don't know every code. */
  readonly type: ErrorType;
  /** Whether the same request may succeed if it is sent again later. */
  readonly retryable: boolean;
  /** One sentence for the documentation: when a caller sees this. */
  readonly meaning: string;
}

export type ErrorType =
  | 'invalid_request'
  | 'authentication'
  | 'permission'
  | 'not_found'
  | 'conflict'
  | 'budget'
  | 'rate_limit'
  | 'unavailable'
  | 'upstream'
  | 'timeout'
  | 'cancelled'
  | 'internal';
