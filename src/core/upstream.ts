import type { ChatAnswer, ChatEvents, PreparedChat } from './chat.ts';
import type { Failure } from './failure.ts';
import type { Quota } from './quota.ts';
import type { Price } from './usage.ts';

/** A service that answers chats. One per entry of `providers:` in the config. */
export interface Provider {
  readonly name: string;
  /**
   * How one of its models is brought to go on with an answer that broke off: by an assistant's message that it
   * continues, or by asking for it in words where such a message is refused or only looked at.
   */
  readonly continuation: 'prefill' | 'instruction';
  /**
   * Starts one attempt. It never throws and never retries: exactly one of `onAnswer`, `onEnd` and `onFailure` is
   * the last call, and after `cancel()` there is no further call at all.
   */
  chat(attempt: ChatAttempt, handler: AttemptHandler): OngoingAttempt;
  /**
   * Asks for something that is no chat, on the provider's own connections. Once, and it never throws. Absent where there
   * is nothing of the kind.
   */
  lookUp?(question: LookUp): Promise<LookedUp>;
  /** The price of one of its models, or `null` if it isn't known. */
  priceOf(model: string): Price | null;
  /** Closes its connections; attempts under way are cut. */
  close(): Promise<void>;
}

/** A GET below the provider's base URL. */
export interface LookUp {
  /** `/models` */
  readonly path: string;
  /** The most that is read of the answer's body. */
  readonly maxBytes: number;
  /** From now to the answer's last byte, in ms. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

export type LookedUp =
  | { readonly kind: 'answer'; readonly status: number; readonly body: Buffer }
  /** `broken`: it was reached and did not answer to the end. `forbidden`: nobody was asked. */
  | { readonly kind: 'unreachable' | 'broken' | 'late' | 'forbidden' | 'aborted'; readonly reason: string };

export interface ChatAttempt {
  readonly chat: PreparedChat;
  /** The model's name in the upstream's own words. */
  readonly model: string;
  /** How long a connection may take to be made, in ms. */
  readonly connectTimeoutMs: number;
}

export interface AttemptHandler {
  /** The upstream's response began, and it is a success. Once, before anything else but `onFailure`. */
  onHead(quota: Quota | null): void;
  /** More bytes came, of whatever kind: the upstream is alive. */
  onBytes(): void;
  /** Whole events of a stream, in order; the terminator is not among them. */
  onEvents(events: ChatEvents): void;
  /** The complete answer of an attempt without streaming. */
  onAnswer(answer: ChatAnswer): void;
  /** The stream ended with its terminator. */
  onEnd(): void;
  onFailure(failure: Failure): void;
}

export interface OngoingAttempt {
  /** Closes the upstream connection at once. Harmless when it is over already. */
  cancel(): void;
  /** Stops reading from the upstream until `resume()`: the caller reads slower than it sends. */
  pause(): void;
  resume(): void;
}
