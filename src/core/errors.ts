import type { ErrorFacts, ErrorType } from './error-facts.ts';

export type { ErrorFacts, ErrorType } from './error-facts.ts';

/** Every error code a caller can meet. `docs/en/errors.md` is generated from this table. */
export const errorTable = {
  invalid_json: {
    status: 400,
    type: 'invalid_request',
    retryable: false,
    meaning:
      'The body is not one JSON object in UTF-8, repeats a key, uses `__proto__` as a key, or is nested too deeply.',
  },
  invalid_request: {
    status: 400,
    type: 'invalid_request',
    retryable: false,
    meaning: 'A field, query parameter or header is missing or wrong; `param` names it.',
  },
  query_too_costly: {
    status: 400,
    type: 'invalid_request',
    retryable: false,
    meaning: 'The question would have to look through too much of the request log; narrow the time that it asks about.',
  },
  undecryptable: {
    status: 400,
    type: 'invalid_request',
    retryable: false,
    meaning:
      'A JWE is malformed, altered, encrypted in a way that is not accepted, or not with this key, for this tenant or context.',
  },
  missing_identity: {
    status: 401,
    type: 'authentication',
    retryable: false,
    meaning: 'There is no `Authorization: Bearer` header with a JWT or an API key.',
  },
  invalid_token: {
    status: 401,
    type: 'authentication',
    retryable: false,
    meaning: 'The JWT is malformed, wrongly signed, not for this issuer or audience, or not valid yet.',
  },
  expired_token: {
    status: 401,
    type: 'authentication',
    retryable: false,
    meaning: 'The JWT was valid once and has expired.',
  },
  revoked_token: {
    status: 401,
    type: 'authentication',
    retryable: false,
    meaning: 'The JWT is good, and was taken back before it expired.',
  },
  invalid_api_key: {
    status: 401,
    type: 'authentication',
    retryable: false,
    meaning: 'The API key is unknown, revoked or expired.',
  },
  budget_spent: {
    status: 402,
    type: 'budget',
    retryable: true,
    meaning:
      'A budget has not enough left for what the request may cost at the most; the message names it, its use and when it begins anew.',
  },
  price_unknown: {
    status: 402,
    type: 'budget',
    retryable: false,
    meaning:
      'A budget would have to pay for a model whose price nobody knows; the message has the line that the configuration lacks.',
  },
  forbidden: {
    status: 403,
    type: 'permission',
    retryable: false,
    meaning: 'The identity is known, but its role, its tenant or its list of agents or models does not allow this.',
  },
  not_found: {
    status: 404,
    type: 'not_found',
    retryable: false,
    meaning: 'There is no such route or record.',
  },
  unknown_agent: {
    status: 404,
    type: 'not_found',
    retryable: false,
    meaning: 'No agent of that name is configured; the message gives the nearest name.',
  },
  unknown_model: {
    status: 404,
    type: 'not_found',
    retryable: false,
    meaning:
      'No model of that name is configured, or the provider does not have it; the message gives the nearest name.',
  },
  method_not_allowed: {
    status: 405,
    type: 'invalid_request',
    retryable: false,
    meaning: 'The route exists, but not for this method; `Allow` lists those it has.',
  },
  request_timeout: {
    status: 408,
    type: 'timeout',
    retryable: true,
    meaning: 'The caller took too long to send its headers or its body.',
  },
  replayed_message: {
    status: 409,
    type: 'conflict',
    retryable: false,
    meaning: 'An encrypted request came a second time: its `jti` was seen before. Encrypt it again with a new one.',
  },
  backup_running: {
    status: 409,
    type: 'conflict',
    retryable: true,
    meaning: 'A backup of this data is being made already, or something else has the data to itself.',
  },
  backup_unusable: {
    status: 409,
    type: 'conflict',
    retryable: false,
    meaning: 'The backup is not one for this Mizan: another master key, a newer version, or another kind of database.',
  },
  job_exists: {
    status: 409,
    type: 'conflict',
    retryable: false,
    meaning: 'There is a job of that name already.',
  },
  job_of_config: {
    status: 409,
    type: 'conflict',
    retryable: false,
    meaning: 'The job is the configuration’s: over the API it can be paused, and neither changed nor removed.',
  },
  payload_too_large: {
    status: 413,
    type: 'invalid_request',
    retryable: false,
    meaning: 'The body is over the limit (`server.bodyLimit`, 10 MiB by default).',
  },
  unsupported_media_type: {
    status: 415,
    type: 'invalid_request',
    retryable: false,
    meaning: 'The body is not sent as `application/json` (or, to `/ai-process`, as `application/jose`).',
  },
  rate_limited: {
    status: 429,
    type: 'rate_limit',
    retryable: true,
    meaning:
      'A limit of requests or tokens per minute is reached; the message names it, its use and when there is room again.',
  },
  larger_than_limit: {
    status: 400,
    type: 'invalid_request',
    retryable: false,
    meaning:
      'The request may need more tokens than a limit lets in within any minute, so it never fits; the message names the limit, and what would fit.',
  },
  concurrency_limited: {
    status: 429,
    type: 'rate_limit',
    retryable: true,
    meaning: 'As many requests as a limit allows are being answered at the same time; the message names it.',
  },
  job_queue_full: {
    status: 429,
    type: 'rate_limit',
    retryable: true,
    meaning: 'As many runs of the job wait as may (`schedule.maxWaiting`); the message says how many.',
  },
  headers_too_large: {
    status: 431,
    type: 'invalid_request',
    retryable: false,
    meaning: 'The request line and headers together are over 16 KiB.',
  },
  upstream_rejected: {
    status: 400,
    type: 'invalid_request',
    retryable: false,
    meaning:
      'The upstream refused the request itself (its own 400, 413, 422 or another 4xx); the message is the upstream’s.',
  },
  context_length_exceeded: {
    status: 400,
    type: 'invalid_request',
    retryable: false,
    meaning:
      'The prompt is longer than the model, and every fallback for long prompts, can take; the message has the numbers.',
  },
  unsupported_by_model: {
    status: 400,
    type: 'invalid_request',
    retryable: false,
    meaning: 'The request has images, tools or a JSON schema, and no instance of the model can do that.',
  },
  content_policy: {
    status: 400,
    type: 'invalid_request',
    retryable: false,
    meaning: 'The upstream refused the content of the request by its policy.',
  },
  upstream_rate_limited: {
    status: 429,
    type: 'rate_limit',
    retryable: true,
    meaning: 'The last instance that was tried answered that it is rate limited; see `Retry-After`.',
  },
  client_too_slow: {
    status: 408,
    type: 'timeout',
    retryable: true,
    meaning:
      'The caller read a stream that it shared with others so slowly that they would have had to wait for it. What came so far was passed on before this error.',
  },
  client_closed: {
    status: 499,
    type: 'cancelled',
    retryable: false,
    meaning: 'The caller went away before its answer was complete. Seen in the request log only.',
  },
  internal: {
    status: 500,
    type: 'internal',
    retryable: true,
    meaning: 'A defect of Mizan. The log has the cause under the same request id.',
  },
  unsealable: {
    status: 500,
    type: 'internal',
    retryable: false,
    meaning:
      'Something that Mizan keeps sealed can not be opened: it was damaged, moved or edited, or its key was destroyed. The operator has to act.',
  },
  backup_damaged: {
    status: 500,
    type: 'internal',
    retryable: true,
    meaning: 'A backup does not hold what it should: bytes were changed, cut off or lost.',
  },
  upstream_error: {
    status: 502,
    type: 'upstream',
    retryable: true,
    meaning: 'The upstream failed: it answered with an error, or could not be reached.',
  },
  upstream_unauthorized: {
    status: 502,
    type: 'upstream',
    retryable: false,
    meaning: 'The upstream refused Mizan’s own key or account (its 401, 402 or 403). The operator has to act.',
  },
  upstream_protocol: {
    status: 502,
    type: 'upstream',
    retryable: true,
    meaning: 'The upstream answered with something that is not the protocol it should speak.',
  },
  upstream_truncated: {
    status: 502,
    type: 'upstream',
    retryable: true,
    meaning:
      'The upstream’s answer ended before it was complete. Of a stream, what came so far was passed on before this error.',
  },
  not_cached: {
    status: 504,
    type: 'unavailable',
    retryable: true,
    meaning: 'The caller asked for `only-if-cached`, and there is no kept answer that will do.',
  },
  no_healthy_instance: {
    status: 503,
    type: 'unavailable',
    retryable: true,
    meaning: 'The model has no instance that could take the request; see `Retry-After`.',
  },
  overloaded: {
    status: 503,
    type: 'unavailable',
    retryable: true,
    meaning:
      'Every instance of the model is at its limits, and the queue before them is full; or this process has too much to do, and refuses the lowest classes first. See `Retry-After`.',
  },
  database_unavailable: {
    status: 503,
    type: 'unavailable',
    retryable: true,
    meaning: 'What is asked for is in a database that can’t be reached now. Agents and models go on answering.',
  },
  database_busy: {
    status: 503,
    type: 'unavailable',
    retryable: true,
    meaning:
      'Another process holds the database, so that nothing could be written to it; nothing was changed. See `Retry-After`.',
  },
  issuer_unavailable: {
    status: 503,
    type: 'unavailable',
    retryable: true,
    meaning:
      'The JWT names a key of its issuer’s that is not known yet, and the issuer can’t be asked; see `Retry-After`.',
  },
  shutting_down: {
    status: 503,
    type: 'unavailable',
    retryable: true,
    meaning:
      'This process is ending: it takes nothing new, and breaks off what is not finished within `server.shutdownTimeoutMs`. Send the request again, it will reach another.',
  },
  upstream_timeout: {
    status: 504,
    type: 'timeout',
    retryable: true,
    meaning: 'The upstream did not connect, begin, continue or finish in time; the message names which.',
  },
} as const satisfies Record<string, ErrorFacts>;

export type ErrorCode = keyof typeof errorTable;

/** The one shape of an error on every route. */
export interface PublicError {
  readonly error: {
    readonly code: ErrorCode;
    readonly type: ErrorType;
    readonly message: string;
    readonly param: string | null;
    readonly request_id: string | null;
  };
}

export interface MizanErrorDetails {
  /** The field, query parameter or header that is at fault. */
  readonly param?: string;
  /** When trying again makes sense, in milliseconds from now. */
  readonly retryAfterMs?: number;
  /** For the log only; never shown to a caller. */
  readonly cause?: unknown;
  /** Overrides the table's status: an upstream's 413 or 422 is passed on as it was. */
  readonly status?: number;
}

/** The only error that crosses folders. Its message is public: it never holds a secret or a stack. */
export class MizanError extends Error {
  override readonly name = 'MizanError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly param: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, details: MizanErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.status = details.status ?? errorTable[code].status;
    this.param = details.param;
    this.retryAfterMs = details.retryAfterMs;
  }

  toPublic(requestId: string | null): PublicError {
    return {
      error: {
        code: this.code,
        type: errorTable[this.code].type,
        message: this.message,
        param: this.param ?? null,
        request_id: requestId,
      },
    };
  }
}

/** What the operator has to mend before Mizan can run: one line, without a stack. Commands end with exit code 2. */
export class SetupError extends Error {
  override readonly name = 'SetupError';

  /** @param reason What was thrown underneath; its message becomes part of the line. */
  constructor(message: string, reason?: unknown) {
    super(reason === undefined ? message : `${message}: ${wordsOf(reason)}`, { cause: reason });
  }
}

function wordsOf(reason: unknown): string {
  if (reason instanceof Error) return reason.message;
  return typeof reason === 'string' ? reason : 'for a reason without words';
}
