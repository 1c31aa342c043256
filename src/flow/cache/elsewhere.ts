import type { Clock } from '../../core/clock.ts';
import type { CachedAnswer, CacheKey, SharedAnswers } from '../../core/response-cache.ts';
import { pause } from '../attempts/backoff.ts';
import type { AnswerSink } from '../call.ts';
import type { Found } from './flight.ts';
import { follow } from './follow.ts';

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
  /** Whether it will do while another is fetched. */
  readonly isGoodForNow: (kept: CachedAnswer) => boolean;
  /** Told of an answer that is kept. */
  readonly found: (kept: CachedAnswer) => void;
  /** Told of one that is too old. */
  readonly hasOld: (kept: CachedAnswer) => void;
  /** Where the parts of a stream go that another process is given. */
  readonly sink: AnswerSink;
  /** Whether anybody wants them as they come. */
  readonly wantsParts: () => boolean;
  /** It is this process' turn. */
  readonly leads: () => void;
  /** How long the first look took, in ms. */
  readonly lookedUp: (ms: number) => void;
}

/**
 * What other processes have, or are about to have. `null` where the upstream is to be asked; `cut` where it is to be
 * asked for the rest of a stream that was heard in part.
 */
export async function lookElsewhere(key: CacheKey, at: Elsewhere): Promise<Found | 'cut' | null> {
  const { shared, ticket, signal, clock } = at;
  const startedAt = clock.monotonic();
  let pauseMs = pauses.first;
  let heardAt = startedAt;
  let comesWhole = '';
  let old: CachedAnswer | null = null;
  for (let isWaiting = false; ;) {
    const look = await shared.look(key, ticket, isWaiting, old !== null);
    const now = clock.monotonic();
    if (!isWaiting && old === null) at.lookedUp(now - startedAt);
    const found: CachedAnswer | undefined = look.found ?? look.old;
    if (look.found !== null && !look.forAll) return { kept: look.found, how: 'coalesced' };
    if (found !== undefined) {
      const isNew = old === null ? at.isGood(found) : found.storedAt > old.storedAt;
      if (isNew || old === null) at.found(found);
      if (isNew && look.found === null && look.turn === 'mine') shared.land(key, ticket, null, false);
      if (isNew) return { kept: found, how: isWaiting ? 'coalesced' : 'hit' };
      if (at.isGoodForNow(found)) return { kept: found, how: 'stale' };
      at.hasOld(found);
    }
    if (look.found !== null) {
      // Too old: whose turn it is to fetch another is the next question.
      old = look.found;
      continue;
    }
    if (look.turn !== 'away') heardAt = now;
    const isSilent = look.turn === 'away' && (!isWaiting || now - heardAt > patienceMs);
    if (look.turn === 'mine') at.leads();
    if (look.turn === 'mine' || isSilent || now > at.deadline || signal.aborted) return null;
    if (look.turn === 'theirs' && look.holder !== comesWhole && at.wantsParts()) {
      const followed = await follow(key, look.holder, at);
      heardAt = clock.monotonic();
      if (followed === 'untold') return null;
      if (followed === 'whole') comesWhole = look.holder;
      else if (followed !== 'gone') return followed;
    }
    await pause(pauseMs, signal);
    pauseMs = Math.min(pauseMs * 2, pauses.most);
    isWaiting = true;
  }
}
