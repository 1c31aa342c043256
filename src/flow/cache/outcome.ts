import type { ChatAnswer } from '../../core/chat.ts';
import { MizanError } from '../../core/errors.ts';
import type { CachedAnswer } from '../../core/response-cache.ts';
import type { Usage } from '../../core/usage.ts';
import { unknownUsage } from '../../core/usage.ts';
import type { AttemptResult } from '../attempts/attempt.ts';
import type { Answered, AnswerOrder } from '../attempts/order.ts';
import type { AnswerHead } from '../call.ts';

/** Whose answer it was in the first place, and how this caller came to it. */
export interface Origin {
  readonly kept: Pick<CachedAnswer, 'model' | 'instance' | 'provider' | 'usage' | 'finishReason'>;
  readonly cache: 'hit' | 'coalesced';
  /** In whole seconds; `null` for one that was made just now. */
  readonly age: number | null;
  /** How long somebody else's upstream call was waited for, in ms. */
  readonly waitedMs: number;
}

/** The head of an answer that nobody was asked for. */
export function headOf({ call, agent, clock }: AnswerOrder, { kept, cache, age, waitedMs }: Origin): AnswerHead {
  const { model, instance, provider } = kept;
  return {
    agent,
    model,
    instance,
    provider,
    cache,
    ...(age === null ? {} : { age }),
    attempts: 0,
    upstreamMs: waitedMs,
    gatewayMs: Math.max(0, clock.monotonic() - call.startedAt - waitedMs),
  };
}

/** A complete answer that this caller is not charged for. */
export function answeredFree(
  order: AnswerOrder,
  origin: Origin,
  said: { readonly answer: ChatAnswer | null; readonly firstTokenAt: number | null },
): Answered {
  const { answer, firstTokenAt } = said;
  const { finishReason } = origin.kept;
  const usage = freeOf(origin.kept.usage);
  const hasBegun = order.chat.stream;
  const last: AttemptResult = {
    failure: null,
    answer,
    usage,
    finishReason,
    ending: [],
    hasDelivered: hasBegun,
    firstTokenAt,
    durationMs: 0,
    latencyMs: null,
    quota: null,
  };
  return { head: headOf(order, origin), last, usage, error: null, trail: [], resumed: 0, firstTokenAt, hasBegun };
}

/** What was used, and costs nothing this time. */
function freeOf(usage: Usage): Usage {
  return { ...usage, costUsd: 0 };
}

/** Of a caller that somebody else's upstream call was for, too. */
export const unused: Usage = { ...unknownUsage, costUsd: 0 };

/** For the log: nobody is told. */
export function gone(): MizanError {
  return new MizanError('client_closed', 'The caller went away.');
}

export function notCached(): MizanError {
  return new MizanError('not_cached', 'There is no answer in the cache that will do, and only-if-cached was asked.');
}

/** Who gave an answer. */
export function cachedHead({ head }: Answered): Pick<CachedAnswer, 'model' | 'instance' | 'provider'> {
  return { model: head.model ?? '', instance: head.instance ?? '', provider: head.provider ?? '' };
}

/**
 * Of a caller who does not see the end of somebody else's answer.
 * @param reason Why.
 */
export function leftEarly(order: AnswerOrder, waitedMs: number, reason: MizanError): Answered {
  const model = order.served.pool.model.id;
  const kept = { model, instance: '', provider: '', usage: unused, finishReason: null };
  const answered = answeredFree(
    order,
    { kept, cache: 'coalesced', age: null, waitedMs },
    { answer: null, firstTokenAt: null },
  );
  return { ...answered, head: { ...answered.head, instance: null, provider: null }, error: reason };
}
