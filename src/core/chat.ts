import type { JsonDocument, JsonEdit, JsonObject } from './json-document.ts';
import { maxAnswerUsd, picosOf, usdOf } from './money.ts';
import type { Tags } from './request-record.ts';
import type { Price, Usage } from './usage.ts';
import { priceOf, unknownUsage } from './usage.ts';

/**
 * What a caller wants answered, in the hub's dialect: the body of OpenAI's Chat Completions. Every edge translates
 * into it, every provider out of it, and members that nobody here knows are carried along untouched.
 */
export interface ChatRequest {
  /** An agent by name, or what the caller gave as `model`. */
  readonly target: { readonly agent: string | null } | { readonly model: string };
  readonly body: JsonDocument;
  readonly stream: boolean;
  /** The caller asked for a usage event at the end of the stream (`stream_options.include_usage`). */
  readonly wantsUsage: boolean;
  /** The conversation it belongs to, where the caller names one. */
  readonly session: string | null;
  /** The caller's own notes on it, for the request log. */
  readonly tags?: Tags | null;
}

/** A body on its way to an upstream: the caller's, and what an agent or an instance changes in it. */
export interface PreparedChat {
  readonly body: JsonDocument;
  readonly edits: readonly JsonEdit[];
  readonly stream: boolean;
  /** Whether the usage event at the end of a stream is passed on; upstreams are asked for it in any case. */
  readonly wantsUsage: boolean;
}

/** The whole events that arrived together. */
export interface ChatEvents {
  /** The bytes they arrived in, comments included; empty where none of them is the caller's to see. */
  readonly bytes: Buffer;
  /** Every parsed chunk, also of events that are not relayed. */
  readonly chunks: readonly JsonObject[];
}

/** A complete answer that was not streamed, with the very bytes it arrived in. */
export interface ChatAnswer {
  readonly bytes: Buffer;
  readonly completion: JsonObject;
}

function objectOf(value: unknown): JsonObject | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : null;
}

/** A whole number that every store can keep and give back. */
function countOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

/** A cost in US dollars, to the picodollar. */
function amountOf(value: unknown): number | null {
  return typeof value === 'number' && value >= 0 && value <= maxAnswerUsd ? usdOf(picosOf(value)) : null;
}

/** The first choice of a completion or a chunk, or `null` where it has none. */
export function firstChoice(completion: JsonObject): JsonObject | null {
  const choices = completion['choices'];
  return Array.isArray(choices) ? objectOf(choices[0]) : null;
}

/** The upstream's own finish reason, or `null`: it is never made up. */
export function finishReasonOf(completion: JsonObject): string | null {
  const reason = firstChoice(completion)?.['finish_reason'];
  return typeof reason === 'string' ? reason : null;
}

/** The message of a completion's first choice. */
export function messageOf(completion: JsonObject): JsonObject | null {
  return objectOf(firstChoice(completion)?.['message']);
}

/** What a chunk adds to the first choice. */
export function deltaOf(chunk: JsonObject): JsonObject | null {
  return objectOf(firstChoice(chunk)?.['delta']);
}

/** Whether a delta carries something the model said, rather than only a role or nothing. */
export function saysSomething(delta: JsonObject): boolean {
  for (const [member, value] of Object.entries(delta)) {
    if (member !== 'role' && value !== null && value !== '' && !(Array.isArray(value) && value.length === 0))
      return true;
  }
  return false;
}

/** The text of a message or a delta; `''` where it has none. */
export function textOf(message: JsonObject | null): string {
  const content = message?.['content'];
  return typeof content === 'string' ? content : '';
}

/** The chunk that carries nothing but the stream's usage: callers who didn't ask for it don't see it. */
export function isUsageOnly(chunk: JsonObject): boolean {
  const choices = chunk['choices'];
  return Array.isArray(choices) && choices.length === 0 && objectOf(chunk['usage']) !== null;
}

/**
 * Usage as the upstream reports it; its own cost first, then `price`, else `null`.
 * @param images Pictures in the request.
 */
export function usageOf(completion: JsonObject, price: Price | null, images = 0): Usage {
  const usage = objectOf(completion['usage']);
  if (usage === null) return unknownUsage;
  const counts = {
    inputTokens: countOf(usage['prompt_tokens']),
    outputTokens: countOf(usage['completion_tokens']),
    cachedInputTokens: countOf(objectOf(usage['prompt_tokens_details'])?.['cached_tokens']),
    reasoningTokens: countOf(objectOf(usage['completion_tokens_details'])?.['reasoning_tokens']),
  };
  return { ...counts, costUsd: amountOf(usage['cost']) ?? priceOf(counts, price, images), source: 'upstream' };
}
