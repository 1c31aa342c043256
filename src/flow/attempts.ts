import type { PreparedChat } from '../core/chat.ts';
import type { Clock } from '../core/clock.ts';
import { MizanError } from '../core/errors.ts';
import { failureTable } from '../core/failure.ts';
import type { AttemptResult } from './attempt.ts';
import { attempt } from './attempt.ts';
import type { AnswerHead, Call } from './call.ts';
import type { Instance, Model } from './routing/model.ts';

/** Attempts a call may take: the first, and one more on the next instance. */
const maxAttempts = 2;

/** When a caller should try again where a model has no instance, in ms. */
const noInstanceRetryMs = 5000;

export interface AttemptsOrder {
  readonly call: Call;
  readonly agent: string | null;
  readonly model: Model;
  readonly chat: PreparedChat;
  readonly clock: Clock;
  /** Told of every attempt as it ends. */
  readonly observe: (instance: Instance, model: Model, result: AttemptResult) => void;
}

/** What all attempts of a call came to. */
export interface AttemptsResult {
  readonly head: AnswerHead;
  /** The last attempt's. */
  readonly last: AttemptResult;
  readonly instance: Instance;
  /** `null` for a complete answer. */
  readonly error: MizanError | null;
}

/**
 * Asks instances one after the other until one answers. The next is asked only while the caller has seen nothing.
 * @throws MizanError `no_healthy_instance` where the model has none at all.
 */
export async function makeAttempts(order: AttemptsOrder): Promise<AttemptsResult> {
  const { call, model, clock } = order;
  const deadline = call.startedAt + model.timeouts.totalMs;
  let candidates: readonly Instance[] = model.instances;
  let upstreamMs = 0;
  for (let attempts = 1; ; attempts++) {
    const instance = model.strategy.choose(candidates);
    if (instance === undefined) {
      throw new MizanError('no_healthy_instance', `The model "${model.id}" has no instance that could answer.`, {
        retryAfterMs: noInstanceRetryMs,
      });
    }
    const startedAt = clock.monotonic();
    const headNow = (): AnswerHead => {
      const now = clock.monotonic();
      const upstreamNow = upstreamMs + (now - startedAt);
      return {
        agent: order.agent,
        model: model.id,
        instance: instance.id,
        provider: instance.provider.name,
        cache: 'bypass',
        attempts,
        upstreamMs: upstreamNow,
        gatewayMs: now - call.startedAt - upstreamNow,
      };
    };
    let hasBegun = false;
    const last = await attempt({
      instance,
      chat: order.chat,
      timeouts: model.timeouts,
      deadline,
      signal: call.signal,
      clock,
      deliver: (events, drained) => {
        if (!hasBegun) call.sink.begin(headNow());
        hasBegun = true;
        return call.sink.write(events, drained);
      },
    });
    order.observe(instance, model, last);
    const head = headNow();
    if (last.failure === null) return { head, last, instance, error: null };
    upstreamMs += last.durationMs;
    candidates = candidates.filter((other) => other !== instance);
    const facts = failureTable[last.failure.kind];
    const mayRetry = facts.retry && !last.hasDelivered && !call.signal.aborted && attempts < maxAttempts;
    if (!mayRetry || candidates.length === 0) return { head, last, instance, error: errorOf(last, model) };
  }
}

/** What the caller is told of the last failure. */
function errorOf(result: AttemptResult, model: Model): MizanError {
  const failure = result.failure ?? { kind: 'protocol', message: '' };
  const { code } = failureTable[failure.kind];
  const isPassedOn = failure.kind === 'rejected' && failure.status !== undefined;
  const message = failure.kind === 'unknown_model' ? `${model.id}: ${failure.message}` : failure.message;
  return new MizanError(code, message, {
    ...(isPassedOn ? { status: failure.status } : {}),
    ...(failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs }),
    ...(failure.param === undefined ? {} : { param: failure.param }),
    cause: failure.cause,
  });
}
