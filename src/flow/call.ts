import type { ChatAnswer, ChatEvents, ChatRequest } from '../core/chat.ts';
import type { MizanError } from '../core/errors.ts';
import type { Principal } from '../core/principal.ts';
import type { Quota } from '../core/quota.ts';
import type { CacheResult } from '../core/request-record.ts';
import type { Usage } from '../core/usage.ts';

/** A request on its way through the flow. */
export interface Call {
  readonly id: string;
  /** When its headers had arrived: ms since the Unix epoch, and on the monotonic clock. */
  readonly receivedAt: number;
  readonly startedAt: number;
  readonly principal: Principal;
  /** As it was received, deciphered where it was encrypted; `null` where there was none. */
  readonly body: Buffer | null;
  /**
   * Aborted when the caller goes away; where Mizan itself ends the call, with the error it ends with as its reason.
   * Everything that is done for the call ends with it.
   */
  readonly signal: AbortSignal;
  /**
   * Understands the body. Called once.
   * @throws MizanError where the body is not a chat.
   */
  readonly read: () => ChatRequest;
  /** Where a streamed answer goes, as it comes. */
  readonly sink: AnswerSink;
  /** The request's `Cache-Control`; `null` where it has none. */
  readonly cacheControl: string | null;
}

/** Who answers, as far as that is known, and what it took so far. */
export interface AnswerHead {
  /** `null` also where a model was called directly. */
  readonly agent: string | null;
  readonly model: string | null;
  /** `null` where it never came to an attempt; so is the provider. */
  readonly instance: string | null;
  readonly provider: string | null;
  readonly cache: CacheResult;
  /** How old a cached answer is, in whole seconds; absent for any other. */
  readonly age?: number;
  readonly attempts: number;
  /** In ms: Mizan's own share of the time so far, and the upstream's. */
  readonly gatewayMs: number;
  readonly upstreamMs: number;
  /** That it waited for room in limits, in ms, which is nobody's share; absent where it didn't. */
  readonly queuedMs?: number;
  /** What is left of the limits that are for the caller; absent where there are none. */
  readonly quota?: Quota | null;
}

/** Of a call that did not come to an attempt: all its time was Mizan's. */
export function headWithoutAttempt(known: {
  readonly agent: string | null;
  readonly model: string | null;
  readonly gatewayMs: number;
}): AnswerHead {
  return { ...known, instance: null, provider: null, cache: 'bypass', attempts: 0, upstreamMs: 0 };
}

/** The caller's end of a streamed answer. */
export interface AnswerSink {
  /** Once, before the first events: from here on the instance can't be changed any more. */
  begin(head: AnswerHead): void;
  /** Passes events on. `false` where the caller reads slower than they come; `drained` follows, once. */
  write(events: ChatEvents, drained: () => void): boolean;
}

/** How a call ended. It is in the request log by the time this is known. */
export interface Outcome {
  readonly head: AnswerHead;
  /** `null` for a complete answer. */
  readonly error: MizanError | null;
  /** The complete answer of a call that did not stream. */
  readonly answer: ChatAnswer | null;
  readonly usage: Usage;
  /** The upstream's own. */
  readonly finishReason: string | null;
  /** Whether `begin` was called: the caller has seen a part of the answer. */
  readonly hasBegun: boolean;
  /** How often another instance took up the answer after it had broken off. */
  readonly resumed: number;
  /** From arrival to the end, in ms. */
  readonly latencyMs: number;
}
