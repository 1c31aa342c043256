import type { PreparedChat } from '../../core/chat.ts';
import type { Clock } from '../../core/clock.ts';
import type { MizanError } from '../../core/errors.ts';
import type { Random } from '../../core/random.ts';
import type { TrailStep } from '../../core/trail.ts';
import type { Usage } from '../../core/usage.ts';
import type { AnswerHead, Call } from '../call.ts';
import type { Model, Needs } from '../routing/model.ts';
import type { Models } from '../routing/models.ts';
import type { Served } from '../routing/served.ts';
import type { AttemptResult } from './attempt.ts';

/** A call that is to be answered, and everything that is needed to do it. */
export interface AnswerOrder {
  readonly call: Call;
  readonly agent: string | null;
  readonly served: Served;
  readonly models: Models;
  readonly needs: Needs;
  readonly chat: PreparedChat;
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
