import type { LeaseResult } from '../routing/pool.ts';
import type { Hold, Spending, SpendingOrder } from './order.ts';

/** In the place of a hold: it can't be paid for. */
export const refused = Symbol('refused');

/** Where nothing has to be held: no account, or one that counts nothing. */
export function isFree(spending: Spending | null): spending is null {
  return spending === null || !spending.counts;
}

/**
 * Holds what one more attempt may use, where that is a try and no right: after another attempt, or beside it.
 * At once where nobody else has to be asked.
 */
export function tryToHold(
  spending: Spending | null,
  order: () => SpendingOrder,
): Hold | null | typeof refused | Promise<Hold | null | typeof refused> {
  if (isFree(spending)) return null;
  try {
    const held = spending.reserve(order());
    return held instanceof Promise ? held.catch(() => refused) : held;
  } catch {
    return refused;
  }
}

/** What came of an instance that was chosen and not asked. */
export const unsent: LeaseResult = {
  failure: { kind: 'cancelled', message: 'It was not sent.' },
  latencyMs: null,
  tokens: null,
  quota: null,
};
