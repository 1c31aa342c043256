import type { PreparedChat } from '../../core/chat.ts';
import type { Clock } from '../../core/clock.ts';
import type { MizanError } from '../../core/errors.ts';
import type { Random } from '../../core/random.ts';
import type { TrailStep } from '../../core/trail.ts';
import type { Usage } from '../../core/usage.ts';
import type { AnswerHead, Call } from '../call.ts';
import type { Instance, Model, Needs } from '../routing/model.ts';
import type { Models } from '../routing/models.ts';
import type { Served } from '../routing/served.ts';
import type { AttemptResult } from './attempt.ts';

/** What an attempt is about to ask for. */
export interface SpendingOrder {
  readonly model: string;
  readonly instance: Instance;
  readonly needs: Needs;
  /** Tokens of an answer that broke off, which is sent along to be continued. */
  readonly written: number;
}

/** What is held for an attempt until it is over. */
export interface Hold {
  /** What it used takes the place of what was held; once. */
  settle(usage: Usage): void;
}

/** What limits the tokens and the money of a call. */
export interface Spending {
  /** Whether anything is counted; where not, nothing is reserved either. */
  readonly counts: boolean;
  /**
   * Holds what an attempt may use at the most. At once where nobody else has to be asked.
   * @throws MizanError where there is not enough left, or nobody knows what it costs.
   */
  reserve(order: SpendingOrder): Hold | null | Promise<Hold | null>;
  /**
   * Waits until there is room for the tokens of an order that was refused, where that is allowed: what the next `reserve`
   * for its model needs is kept for it. Nothing else should be held meanwhile.
   * @returns Whether there is; at once where waiting is not allowed or can't help.
   */
  awaitRoom(order: SpendingOrder): Promise<boolean>;
}

/** A call that is to be answered, and everything that is needed to do it. */
export interface AnswerOrder {
  readonly call: Call;
  readonly agent: string | null;
  readonly served: Served;
  readonly models: Models;
  readonly needs: Needs;
  readonly chat: PreparedChat;
  /** `null` where nothing limits it. */
  readonly spending: Spending | null;
  readonly clock: Clock;
  readonly random: Random;
  /** Told of every attempt as it ends. */
  readonly observe: (model: Model, step: TrailStep) => void;
}

/** What all attempts of a call came to. */
export interface Answered {
  readonly head: AnswerHead;
  /** The last attempt's, or that of the one that won. */
  readonly last: AttemptResult;
  /** Of all attempts together. */
  readonly usage: Usage;
  /** `null` for a complete answer. */
  readonly error: MizanError | null;
  readonly trail: readonly TrailStep[];
  /** How often the answer was taken up by another instance after it had begun. */
  readonly resumed: number;
  readonly firstTokenAt: number | null;
  readonly hasBegun: boolean;
}
