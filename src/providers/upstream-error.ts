import type { Failure, FailureKind } from '../core/failure.ts';
import type { JsonObject } from '../core/json-document.ts';
import { quotaOf } from './quota-headers.ts';
import type { TransportHeaders } from './transport.ts';

/** What a status means that isn't the rule of its hundred. */
const kindsByStatus: Readonly<Record<number, FailureKind>> = {
  401: 'unauthorized',
  402: 'unauthorized',
  403: 'unauthorized',
  404: 'unknown_model',
  408: 'overloaded',
  409: 'overloaded',
  425: 'overloaded',
  429: 'rate_limited',
  503: 'overloaded',
  529: 'overloaded',
};

/** What services call a prompt that is too long, in their codes and, where they have none, in their words. */
const tooLong = /context_length_exceeded|maximum context length|context window|prompt is too long|too many tokens/i;

/** Likewise content that they refuse by policy. */
const refusedContent = /content_policy|content_filter|content management policy|moderation|flagged/i;

function kindOf(status: number, said: ErrorWords): FailureKind {
  const words = `${said.code ?? ''} ${said.message ?? ''}`;
  if (status === 400 || status === 413 || status === 422) {
    if (tooLong.test(words)) return 'context_length';
    if (refusedContent.test(words)) return 'content_policy';
  }
  if (status === 403 && refusedContent.test(words)) return 'content_policy';
  const kind = kindsByStatus[status];
  if (kind !== undefined) return kind;
  if (status >= 500) return 'server_error';
  return status >= 400 ? 'rejected' : 'protocol';
}

/** What a failing kind is called in front of callers, who must not learn of our keys and accounts. */
const ownWords: Partial<Record<FailureKind, string>> = {
  unauthorized: 'refused the key or account it is called with',
  protocol: 'answered with an unexpected status',
};

/** Classifies an HTTP answer other than a success. `scrub` takes secrets out of the upstream's words. */
export function failureOfStatus(
  provider: string,
  answer: { readonly status: number; readonly headers: TransportHeaders; readonly body: JsonObject | null },
  context: { readonly scrub: (text: string) => string; readonly now: number },
): Failure {
  const error = errorOf(answer.body, context.scrub);
  const kind = kindOf(answer.status, error);
  const said = kind in ownWords ? null : error.message;
  const own = `${provider} ${ownWords[kind] ?? `answered with status ${answer.status}`}.`;
  const retryAfterMs = retryAfterOf(answer.headers, context.now) ?? resetOf(answer.headers, context.now);
  return {
    kind,
    status: answer.status,
    message: said ?? own,
    ownWords: own,
    ...(retryAfterMs === null ? {} : { retryAfterMs }),
    ...(error.param === null ? {} : { param: error.param }),
    ...(error.message === null ? {} : { cause: error.message }),
  };
}

/** Classifies an error object that came inside an answer of status 200. */
export function failureInBand(provider: string, error: unknown, scrub: (text: string) => string): Failure {
  const details = errorOf({ error }, scrub);
  const status = Number(details.code);
  const kind = status >= 400 && status < 600 ? kindOf(status, details) : 'server_error';
  const said = kind in ownWords ? null : details.message;
  const own = `${provider} ${ownWords[kind] ?? 'broke off its answer with an error'}.`;
  return { kind, message: said ?? own, ownWords: own };
}

interface ErrorWords {
  readonly message: string | null;
  readonly param: string | null;
  /** A word, or a status in an error that came in-band. */
  readonly code: string | null;
}

/** What is said is scrubbed before it is cut, or a part of a secret could be left at its end. */
function errorOf(body: JsonObject | null, scrub: (text: string) => string): ErrorWords {
  const error = body?.['error'];
  const shown = (text: unknown, length: number): string | null =>
    typeof text === 'string' && text !== '' ? scrub(text).slice(0, length) : null;
  if (typeof error === 'string') return { message: shown(error, 500), param: null, code: null };
  const object = typeof error === 'object' && error !== null ? (error as JsonObject) : (body ?? {});
  const { message, param, code } = object as { message?: unknown; param?: unknown; code?: unknown };
  return {
    message: shown(message, 500),
    param: shown(param, 200),
    code: typeof code === 'number' || typeof code === 'string' ? String(code) : null,
  };
}

/** Where the upstream's own count of what is left says when there is some again. */
function resetOf(headers: TransportHeaders, now: number): number | null {
  const quota = quotaOf(headers, now);
  const spent = [quota?.requests, quota?.tokens].find((left) => left?.remaining === 0);
  return spent?.resetMs ?? null;
}

/** `Retry-After` in seconds or as a date (RFC 9110 §10.2.3), or `retry-after-ms`; in ms from `now`, at least 0. */
function retryAfterOf(headers: TransportHeaders, now: number): number | null {
  const precise = Number(headers['retry-after-ms'] ?? Number.NaN);
  if (Number.isFinite(precise)) return Math.max(0, precise);
  const value = headers['retry-after'];
  if (typeof value !== 'string') return null;
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}
