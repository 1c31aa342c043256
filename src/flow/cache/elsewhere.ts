import type { Clock } from '../../core/clock.ts';
import type { CachedAnswer, CacheKey, SharedAnswers } from '../../core/response-cache.ts';
import { pause } from '../attempts/backoff.ts';
import type { Landing } from './flight.ts';

/** Between two looks for another process' answer, in ms. */
const pauses = { first: 10, most: 100 };

/** How long whoever waits for another process goes on without a word from the shared cache, in ms. */
const patienceMs = 1000;

export interface Elsewhere {
  readonly shared: SharedAnswers;
  readonly ticket: string;
  /** Aborted when nobody waits any more. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Until when another process is waited for, on the monotonic clock. */
  readonly deadline: number;
  readonly isGood: (kept: CachedAnswer) => boolean;
  /** Told of an answer that is kept. */
  readonly found: (kept: CachedAnswer) => void;
  /** How long the first look took, in ms. */
  readonly lookedUp: (ms: number) => void;
}

/** What other processes have, or are about to have; `null` where the upstream is to be asked. */
export async function lookElsewhere(key: CacheKey, at: Elsewhere): Promise<Landing | null> {
  const { shared, ticket, signal, clock } = at;
  const startedAt = clock.monotonic();
  let pauseMs = pauses.first;
  let heardAt = startedAt;
  for (let isWaiting = false; ; isWaiting = true) {
    const look = await shared.look(key, ticket, isWaiting);
    const now = clock.monotonic();
    if (!isWaiting) at.lookedUp(now - startedAt);
    if (look.found !== null) {
      if (look.forAll) at.found(look.found);
      if (!isWaiting && !at.isGood(look.found)) return null;
      return { kept: look.found, how: isWaiting ? 'coalesced' : 'hit' };
    }
    if (look.turn !== 'away') heardAt = now;
    const isSilent = look.turn === 'away' && (!isWaiting || now - heardAt > patienceMs);
    if (look.turn === 'mine' || isSilent || now > at.deadline || signal.aborted) return null;
    await pause(pauseMs, signal);
    pauseMs = Math.min(pauseMs * 2, pauses.most);
  }
}
