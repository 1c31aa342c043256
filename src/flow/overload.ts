import { MizanError } from '../core/errors.ts';
import type { Principal } from '../core/principal.ts';
import type { Priority } from '../core/priority.ts';
import { priorities, priorityOf } from '../core/priority.ts';

/** From how many times the allowed lag each class is refused, the lowest first. */
const thresholds: readonly number[] = [1, 2, 4];

/** How long somebody who is refused is told to wait, in ms: a few times what the lag is looked at anew. */
const retryAfterMs = 1000;

/**
 * Refuses requests while this process can't keep up, the lowest class first: at the allowed lag of the event loop, at
 * twice and at four times of it. A class comes back when the lag is half of what it was refused at, so that nothing
 * flutters.
 */
export class Overload {
  readonly #lagMs: number;
  readonly #shed: (priority: Priority) => void;
  readonly #changed: (level: number, lagMs: number) => void;
  /** Classes that are refused, from the lowest. */
  #level = 0;

  /** @param lagMs The lag that is allowed. */
  constructor(
    lagMs: number,
    told: { readonly shed: (priority: Priority) => void; readonly changed: (level: number, lagMs: number) => void },
  ) {
    this.#lagMs = lagMs;
    this.#shed = told.shed;
    this.#changed = told.changed;
  }

  /** Takes note of the lag since it was told last, in ms. More comes at once, less step by step. */
  felt(lagMs: number): void {
    const reached = thresholds.filter((times) => lagMs >= this.#lagMs * times).length;
    const isOver = lagMs < (this.#lagMs * (thresholds[this.#level - 1] ?? 0)) / 2;
    const level = reached > this.#level ? reached : this.#level - (isOver ? 1 : 0);
    if (level === this.#level) return;
    this.#level = level;
    this.#changed(level, lagMs);
  }

  /** @throws MizanError `overloaded` where this one's class is not taken now. */
  check(principal: Principal): void {
    if (this.#level === 0) return;
    const priority = priorityOf(principal);
    if (priorities.indexOf(priority) >= this.#level) return;
    this.#shed(priority);
    throw new MizanError(
      'overloaded',
      `This Mizan has more to do than it can, and takes no ${priority} requests now.`,
      {
        retryAfterMs,
      },
    );
  }
}
