import type { Failure } from '../../core/failure.ts';
import { pause } from './backoff.ts';
import type { AttemptResult } from './attempt.ts';
import type { Instance } from '../routing/model.ts';
import type { Needs } from '../routing/model.ts';
import type { Lease } from '../routing/pool.ts';
import type { Served } from '../routing/served.ts';
import { estimatedCost } from '../routing/served.ts';
import { unsent } from './holds.ts';

/** One of two attempts at the same answer. */
export interface Contestant {
  /**
   * Runs it. `claim` is called before its first event is delivered, and says whether it is the winner; a loser delivers
   * nothing and is aborted by `signal`.
   */
  run(signal: AbortSignal, claim: () => boolean): Promise<AttemptResult>;
}

/** What the race came to: the result that counts. */
export interface RaceResult {
  readonly result: AttemptResult;
  readonly winner: Contestant;
}

/**
 * Runs `first`, and after `afterMs` whatever `second` brings beside it. Whoever speaks first wins, and the other one is
 * aborted. A failure ends the race only when nobody runs any more.
 * @param second Called once; `null` where there is nobody to ask, or nothing left to spend on it.
 */
export async function race(
  first: Contestant,
  second: () => Contestant | null | Promise<Contestant | null>,
  settings: { readonly afterMs: number; readonly signal: AbortSignal },
): Promise<RaceResult> {
  const { afterMs, signal } = settings;
  const running = new Map<Contestant, AbortController>();
  let winner: Contestant | null = null;
  const claims = (contestant: Contestant): boolean => {
    if (winner !== null) return winner === contestant;
    winner = contestant;
    for (const [other, controller] of running) if (other !== contestant) controller.abort();
    return true;
  };
  const start = async (contestant: Contestant): Promise<RaceResult> => {
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    signal.addEventListener('abort', abort);
    running.set(contestant, controller);
    // While it was being got ready, the other one may have spoken, or the caller left.
    if (winner !== null || signal.aborted) controller.abort();
    const result = await contestant.run(controller.signal, () => claims(contestant));
    signal.removeEventListener('abort', abort);
    running.delete(contestant);
    // Another one may have answered in the very same turn.
    const isBeaten = result.failure === null && !claims(contestant);
    return { result: isBeaten ? { ...result, failure: beaten } : result, winner: contestant };
  };

  const waiting = new AbortController();
  const leading = start(first);
  const early = await Promise.race([leading, pause(afterMs, waiting.signal)]);
  waiting.abort();
  const ready = early === undefined && winner === null && !signal.aborted ? second() : null;
  const other = ready instanceof Promise ? await ready : ready;
  if (early !== undefined || other === null) return leading;
  const results = [leading, start(other)];
  const one = await Promise.race(results);
  if (one.result.failure === null || one.result.hasDelivered) {
    await Promise.all(results);
    return one;
  }
  const all = await Promise.all(results);
  return all.find(({ result }) => result.failure === null || result.hasDelivered) ?? (all[0] as RaceResult);
}

const beaten: Failure = { kind: 'cancelled', message: 'Another instance answered first.' };

/** Output tokens that a request is taken for where it sets no limit, for estimating what a hedge costs. */
const assumedOutputTokens = 256;

/** An instance for a second attempt in parallel, as far as requests and money for that are left. */
export function hedgeLease(served: Served, needs: Needs, excluded: ReadonlySet<Instance>): Lease | null {
  const { hedges, hedgeCosts, pool } = served;
  if (!hedges.has()) return null;
  const lease = pool.acquire(needs, excluded);
  if ('exclusions' in lease) return null;
  const cost = costOf(lease.instance, needs);
  const isPaidFor = cost === null || cost === 0 || hedgeCosts.spend(cost);
  if (isPaidFor && hedges.spend()) return lease;
  lease.release(unsent);
  return null;
}

/** Each attempt earns a share of another one in parallel. */
export function earnHedge(served: Served, instance: Instance, needs: Needs): void {
  if (served.policy.hedge === null) return;
  served.hedges.earn();
  served.hedgeCosts.earn(costOf(instance, needs) ?? 0);
}

function costOf(instance: Instance, { inputTokens, maxOutputTokens }: Needs): number | null {
  return estimatedCost(instance, inputTokens, maxOutputTokens ?? assumedOutputTokens);
}
