import type { PublicError } from './errors.ts';

/** Of which requests is kept what was said. */
export const payloadModes = ['off', 'errors', 'sampled', 'all'] as const;

export type PayloadMode = (typeof payloadModes)[number];

export interface PayloadPolicy {
  readonly mode: PayloadMode;
  /** For `sampled`: the share of requests, from 0 to 1. */
  readonly rate: number;
  /** Of a request, and of an answer, at most so much is kept, in bytes. */
  readonly maxBytes: number;
}

/** The beginning of something that was said, as much as is kept of it. */
export interface Said {
  readonly bytes: Uint8Array;
  /** How long the whole was, in bytes. */
  readonly wholeBytes: number;
}

/** What was said in one call, on its way to be kept. */
export interface Payload {
  readonly requestId: string;
  readonly tenant: string;
  /** The body as it was received. */
  readonly request: Said;
  /** The answer in JSON, of a stream put together from its parts. Asked for once, when nobody waits; `null` for none. */
  readonly answer: () => Said | null;
  /** What the caller was told went wrong; `null` where the answer is complete. */
  readonly error: PublicError | null;
  /** What it takes of memory until it is kept, at most, in bytes. */
  readonly size: number;
}

/** Where the flow leaves what was said. */
export interface PayloadLog {
  /** Returns at once, and never throws. Where too much waits, the oldest is given up. */
  keep(payload: Payload): void;
}

/** What was said in one call, as it was kept. */
export interface KeptPayload {
  /** `false` where the key to it is gone: then there are the lengths alone. */
  readonly isReadable: boolean;
  readonly request: string | null;
  readonly answer: string | null;
  readonly error: PublicError | null;
  /** How long they were before they were cut, in bytes. */
  readonly requestBytes: number;
  readonly answerBytes: number;
  /** Whether one of them was longer than what is kept of it. */
  readonly isCut: boolean;
}

export interface PayloadHistory {
  find(tenant: string, requestId: string): Promise<KeptPayload | undefined>;
}

/** As it is shown outside: what is whole as JSON, what was cut as a text. */
export function publicPayload(payload: KeptPayload) {
  const { isReadable, request, answer, error, requestBytes, answerBytes, isCut } = payload;
  return {
    is_readable: isReadable,
    request: shown(request),
    request_bytes: requestBytes,
    answer: shown(answer),
    answer_bytes: answerBytes,
    error: error?.error ?? null,
    is_cut: isCut,
  };
}

function shown(text: string | null): unknown {
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
