import type { ChatEvents } from '../../core/chat.ts';
import type { JsonObject } from '../../core/json-document.ts';
import type { CachedAnswer } from '../../core/response-cache.ts';
import type { Answered } from '../attempts/order.ts';
import type { CachePolicy } from './policy.ts';

/** A piece of a stream, as the caller gets it. */
export interface Part {
  readonly events: ChatEvents;
  /** Whether it is the event that holds nothing but the usage. */
  readonly isUsage: boolean;
}

/**
 * An answer as it is kept.
 * @param parts Of a stream: all of them.
 * @param now In ms since the Unix epoch.
 */
export function cachedAnswer(
  answered: Answered,
  parts: readonly Part[],
  { policy, now }: { readonly policy: CachePolicy; readonly now: number },
): CachedAnswer {
  const { head, last, usage } = answered;
  const { body, usageEvent } = bodyOf(parts);
  const freshUntil = now + policy.ttlMs;
  return {
    kind: last.answer === null ? 'stream' : 'json',
    body: last.answer?.bytes ?? body,
    usageEvent,
    usage,
    finishReason: last.finishReason,
    model: head.model ?? '',
    instance: head.instance ?? '',
    provider: head.provider ?? '',
    storedAt: now,
    freshUntil,
    refreshUntil: freshUntil + policy.revalidateMs,
    rescueUntil: freshUntil + policy.rescueMs,
  };
}

/** What the parts of a stream say, and its usage. */
export function bodyOf(parts: readonly Part[]): Pick<CachedAnswer, 'body' | 'usageEvent'> {
  const said = parts.filter(({ isUsage, events }) => !isUsage && events.chunks.length > 0);
  return {
    body: Buffer.concat(said.map(({ events }) => events.bytes)),
    usageEvent: Buffer.concat(parts.filter(({ isUsage }) => isUsage).map(({ events }) => events.bytes)),
  };
}

/**
 * Whether an answer may be given to others later: complete, not cut or filtered, not pieced together, from the model
 * that was asked, and calling no tools unless that is wanted.
 */
export function isStorable(
  answered: Answered,
  parts: readonly Part[],
  { policy, model }: { readonly policy: CachePolicy; readonly model: string },
): boolean {
  if (answered.error !== null || answered.resumed > 0 || answered.head.model !== model) return false;
  const { answer } = answered.last;
  if (answer !== null) return isWhole([answer.completion], 'message', policy);
  return isWhole(
    parts.flatMap(({ events }) => events.chunks),
    'delta',
    policy,
  );
}

/** Whether every choice came to an end of its own. */
function isWhole(bodies: readonly JsonObject[], place: 'message' | 'delta', policy: CachePolicy): boolean {
  const ended = new Map<unknown, boolean>();
  for (const { choices } of bodies) {
    for (const choice of Array.isArray(choices) ? (choices as JsonObject[]) : []) {
      const { index = 0, finish_reason: reason } = choice;
      const said = (choice[place] ?? {}) as JsonObject;
      if (typeof said['refusal'] === 'string' && said['refusal'] !== '') return false;
      if (callsTools(said) && !policy.keepsToolCalls) return false;
      const isEnd = reason !== null && reason !== undefined;
      if (isEnd && !isGood(reason, policy)) return false;
      ended.set(index, ended.get(index) === true || isEnd);
    }
  }
  return ended.size > 0 && [...ended.values()].every(Boolean);
}

function callsTools({ tool_calls: calls, function_call: call }: JsonObject): boolean {
  return (Array.isArray(calls) && calls.length > 0) || (typeof call === 'object' && call !== null);
}

function isGood(reason: unknown, { keepsToolCalls }: CachePolicy): boolean {
  return reason === 'stop' || (keepsToolCalls && (reason === 'tool_calls' || reason === 'function_call'));
}
