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
  /** The price of one of its models, or `null` if it isn't known. */
  priceOf(model: string): Price | null;
  /** Closes its connections; attempts under way are cut. */
  close(): Promise<void>;
}

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
