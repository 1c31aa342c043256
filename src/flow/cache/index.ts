import type { Clock } from '../../core/clock.ts';
import { MizanError } from '../../core/errors.ts';
import { Places } from '../../core/places.ts';
import type {
  CachedAnswer,
  CacheCleaner,
  CacheKey,
  CacheSelection,
  Freed,
  Purged,
  SharedAnswers,
} from '../../core/response-cache.ts';
import { isSelected, sumOf } from '../../core/response-cache.ts';
import type { CacheMetrics } from '../../telemetry/cache-metrics.ts';
import { answer } from '../attempts/answer.ts';
import type { Answered, AnswerOrder } from '../attempts/order.ts';
import { Afar, errorOfLanding } from './afar.ts';
import type { Directives } from './directives.ts';
import { directivesOf } from './directives.ts';
import { lookElsewhere } from './elsewhere.ts';
import type { FlightEvents, Kept, Landing, Source } from './flight.ts';
import { Flight } from './flight.ts';
import { cacheKeyOf, Spellings } from './key.ts';
import type { Holding, MemoryTierSettings } from './memory-tier.ts';
import { MemoryTier } from './memory-tier.ts';
import { answeredFree, cachedHead, gone, headOf, leftEarly, notCached, unused } from './outcome.ts';
import type { CacheRule, CacheRules } from './policy.ts';
import type { Background } from './refreshes.ts';
import { Refreshes } from './refreshes.ts';
import { asCompletion, replay } from './replay.ts';
import type { Ridden } from './ride.ts';
import { ride } from './ride.ts';
import { bodyOf, cachedAnswer, isStorable } from './storable.ts';
import { isCacheable, isFresh, isGoodForNow, isOutage, isShared } from './verdicts.ts';

/** The most that one answer under way is kept for those who come later, in bytes. */
const largestFlight = 8 * 1024 * 1024;

/** As much as all answers under way may be kept together, where that is more than the cache itself has. In bytes. */
const leastCollected = 16 * 1024 * 1024;

/** Of each of them, so much is kept in any case, however many there are: nobody is behind by less. In bytes. */
const leastFlight = 64 * 1024;

/** How often each process cleans its memory, in ms. */
const cleanEveryMs = 3_600_000;

/** A request on its way through the cache. */
interface Asked {
  readonly order: AnswerOrder;
  readonly rule: CacheRule;
  readonly key: CacheKey;
  readonly wish: Directives;
  /** Fetches a newer answer where an old one is good enough. */
  readonly background: Background;
}

/** Answers from memory where the same was asked before, and once for all who ask the same at the same time. */
export class AnswerCache implements CacheCleaner {
  readonly #rules: CacheRules;
  readonly #memory: MemoryTier;
  readonly #metrics: CacheMetrics;
  readonly #clock: Clock;
  readonly #shared: SharedAnswers | null;
  readonly #mostCollected: number;
  readonly #spellings = new Spellings();
  readonly #flights = new Places<Flight>();
  readonly #refreshes: Refreshes;
  /** The hourly job runs in one process; what is in the memory of each is its own to clean. */
  readonly #cleaning: NodeJS.Timeout;
  readonly #end = new AbortController();
  #collected = 0;
  /** Makes tickets of one call different. */
  #tickets = 0;

  constructor(
    rules: CacheRules,
    settings: MemoryTierSettings,
    {
      metrics,
      clock,
      shared,
    }: { readonly metrics: CacheMetrics; readonly clock: Clock; readonly shared: SharedAnswers | null },
  ) {
    this.#rules = rules;
    this.#shared = shared;
    this.#metrics = metrics;
    this.#clock = clock;
    this.#refreshes = new Refreshes(shared, clock);
    this.#memory = new MemoryTier(settings, () => metrics.evicted());
    this.#mostCollected = Math.max(leastCollected, settings.maxBytes);
    this.#cleaning = setInterval(() => void this.#memory.cleanup(clock.now(), this.#end.signal), cleanEveryMs).unref();
    metrics.watch(() => this.#memory.holding());
    shared?.watch((isPurged, before) => void this.#memory.remove(isPurged, before));
  }

  /**
   * Brings a call to its answer, from wherever it can be had.
   * @param background Fetches a newer answer where an old one was good enough.
   * @throws MizanError where it came to no attempt; `not_cached` where the caller wanted none.
   */
  answer(order: AnswerOrder, background: Background): Answered | Promise<Answered> {
    const startedAt = this.#clock.monotonic();
    const wish = directivesOf(order.call.cacheControl);
    const model = order.served.pool.model.id;
    const rule = this.#rules.find(order.agent, model);
    if (wish.noStore || !isCacheable(order, rule)) {
      this.#metrics.answered('bypass');
      if (wish.onlyIfCached) throw notCached();
      return answer(order);
    }
    const { agent, chat, call } = order;
    const spelling = this.#spellings.spell(call.principal, { model, chat }, rule);
    const known = spelling === null ? undefined : this.#spellings.find(spelling);
    const key = known ?? cacheKeyOf(call.principal, { agent, model, chat }, rule);
    const asked = { order, rule, key, wish, background };
    const kept = this.#memory.get(key.hash);
    if (kept !== undefined && known === undefined && spelling !== null) this.#spellings.remember(spelling, key);
    this.#metrics.lookedUp('memory', this.#clock.monotonic() - startedAt);
    if (kept !== undefined && !wish.noCache) {
      const now = this.#clock.now();
      if (isFresh(kept, now, asked)) return this.#give(asked, kept);
      if (isGoodForNow(kept, now, wish)) {
        if (!wish.onlyIfCached) this.#refresh(asked);
        return this.#give(asked, kept, 'stale');
      }
    }
    if (wish.onlyIfCached) return this.#ifCached(asked);
    return this.#bring(asked, kept);
  }

  async #ifCached(asked: Asked): Promise<Answered> {
    const look = asked.wish.noCache ? undefined : await this.#shared?.look(asked.key, '', false);
    const found = look?.found ?? null;
    const now = this.#clock.now();
    if (found !== null && isFresh(found, now, asked)) return this.#give(asked, found);
    if (found === null || !isGoodForNow(found, now, asked.wish)) throw notCached();
    return this.#give(asked, found, 'stale');
  }

  /** What is in memory: of one tenant, or all. */
  holding(tenant?: string): Holding {
    return this.#memory.holding(tenant);
  }

  /** Removes the entries of a selection, here and wherever they are shared. */
  async purge(selection: CacheSelection): Promise<Purged> {
    const own = await this.#memory.remove((key) => isSelected(key, selection));
    const purged = await this.#shared?.purge(selection);
    return { ...sumOf(own, purged), complete: purged?.complete ?? true };
  }

  /** Removes what is of no use any more, here and wherever answers are shared, in small steps. */
  async cleanup(signal: AbortSignal): Promise<Freed> {
    const own = await this.#memory.cleanup(this.#clock.now(), signal);
    return sumOf(own, signal.aborted ? undefined : await this.#shared?.cleanup(signal));
  }

  /** Ends what nobody waits for, and leaves with others what they are to have. */
  async close(): Promise<void> {
    clearInterval(this.#cleaning);
    this.#end.abort();
    this.#refreshes.close();
    await this.#shared?.close();
  }

  /** Gives a kept answer to a caller. */
  #give(
    { order, rule }: Asked,
    kept: CachedAnswer,
    how: 'hit' | 'stale' | 'coalesced' = 'hit',
    waitedMs = 0,
  ): Answered | Promise<Answered> {
    this.#metrics.answered(how);
    this.#metrics.saved(order.served.pool.model.label, kept.usage);
    const age = Math.max(0, Math.floor((this.#clock.now() - kept.storedAt) / 1000));
    const origin = {
      kept,
      cache: how === 'coalesced' ? ('coalesced' as const) : ('hit' as const),
      age: how === 'coalesced' ? null : age,
      waitedMs,
    };
    const { call, chat } = order;
    if (!chat.stream) return answeredFree(order, origin, { answer: asCompletion(kept), firstTokenAt: null });
    const said = { answer: null, firstTokenAt: this.#clock.monotonic() };
    call.sink.begin(headOf(order, origin));
    const { paceMs } = rule.policy;
    const replaying = replay(kept, call, { paceMs, wantsUsage: chat.wantsUsage });
    if (replaying === undefined) return answeredFree(order, origin, said);
    return replaying.then(() => {
      const answered = answeredFree(order, origin, said);
      return call.signal.aborted ? { ...answered, error: gone() } : answered;
    });
  }

  /** Joins those who ask the same, or is the first of them. */
  async #bring(asked: Asked, old: CachedAnswer | undefined): Promise<Answered> {
    for (;;) {
      const running = asked.wish.noCache ? undefined : this.#flights.get(asked.key.hash);
      if (running === undefined) {
        const flight = this.#begin(asked);
        const ridden = await ride(flight, asked.order, 'miss');
        const led = this.#led(asked, ridden, old ?? flight.old);
        if (led !== null) return led;
        continue;
      }
      const ridden = await ride(running, asked.order, 'coalesced');
      const followed = this.#followed(asked, ridden, old ?? running.old);
      if (followed !== null) return followed;
    }
  }

  #begin(asked: Asked): Flight {
    const { order, key, wish } = asked;
    const { hash } = key;
    const shared = this.#shared;
    const room = Math.min(largestFlight, this.#mostCollected - this.#collected);
    const ticket = shared === null ? '' : `${order.call.id}.${this.#tickets++}`;
    let afar: Afar | null = null;
    const leads = (): void => {
      if (shared !== null) afar = new Afar(flight, (audience) => shared.tell(key, ticket, audience));
    };
    const source = shared === null || wish.noCache ? null : this.#elsewhere(asked, { shared, ticket, leads });
    const events: FlightEvents = {
      landed: (landing) => this.#landed(asked, landing, { ticket, afar }),
      deserted: () => afar?.look() ?? null,
      closed: () => {
        if (this.#flights.get(hash) === flight) this.#flights.delete(hash);
      },
      collected: (bytes) => {
        this.#collected += bytes;
      },
    };
    const flight: Flight = new Flight(order, Math.max(leastFlight, room), events, source);
    if (!this.#flights.has(hash)) this.#flights.set(hash, flight);
    return flight;
  }

  /** Keeps what an upstream said, and tells others of it, as far as it is for them. */
  #landed(
    { order, rule, key }: Asked,
    landing: Landing,
    { ticket, afar }: { ticket: string; afar: Afar | null },
  ): void {
    const { policy } = rule;
    if ('kept' in landing) return;
    if ('told' in landing) {
      const { told, parts, isWhole } = landing;
      if ('facts' in told && told.isKept && isWhole) this.#memory.set(key, { ...told.facts, ...bodyOf(parts) });
      return;
    }
    const error = errorOfLanding(landing);
    if (!('answered' in landing) || error !== null) {
      afar?.ended({ error: error ?? gone() });
      this.#shared?.land(key, ticket, null, false);
      return;
    }
    const { answered, parts, isWhole } = landing;
    const isKept = isWhole && isStorable(answered, parts, { policy, model: order.served.pool.model.id });
    if (!isKept && this.#shared === null) return;
    const kept = cachedAnswer(answered, parts, { policy, now: this.#clock.now() });
    if (isKept) this.#memory.set(key, kept);
    const { body: _body, usageEvent: _event, ...facts } = kept;
    afar?.ended({ facts, isKept, resumed: answered.resumed });
    this.#shared?.land(key, ticket, isWhole ? kept : null, isKept);
  }

  /** What other processes have, or are about to have. */
  #elsewhere(asked: Asked, own: { shared: SharedAnswers; ticket: string; leads: () => void }): Source {
    const { key, order } = asked;
    return (flight) =>
      lookElsewhere(key, {
        ...own,
        ...flight,
        clock: this.#clock,
        deadline: order.call.startedAt + order.served.pool.model.timeouts.totalMs,
        isGood: (kept) => isFresh(kept, this.#clock.now(), asked),
        isGoodForNow: (kept) => isGoodForNow(kept, this.#clock.now(), asked.wish),
        found: (kept) => this.#memory.set(key, kept),
        lookedUp: (ms) => this.#metrics.lookedUp('redis', ms),
      });
  }

  /** What came of it for the one who began it; `null` where that says nothing of this caller's own request. */
  #led(asked: Asked, ridden: Ridden, old: CachedAnswer | undefined): Answered | Promise<Answered> | null {
    const { landing, left, hasBegun, firstTokenAt, waitedMs } = ridden;
    if ('told' in landing) return this.#toldEnd(asked, ridden, landing);
    if ('kept' in landing) {
      return left !== null ? leftEarly(asked.order, waitedMs, left) : this.#giveFound(asked, landing, waitedMs);
    }
    const error = 'thrown' in landing ? landing.thrown : landing.answered.error;
    if (left === null && !hasBegun && this.#canRescue(old, error)) {
      return this.#rescue(asked, old, 'answered' in landing ? landing.answered : null);
    }
    this.#metrics.answered('miss');
    if ('thrown' in landing) throw landing.thrown;
    const { answered } = landing;
    const isStream = asked.order.chat.stream;
    return {
      ...answered,
      head: { ...answered.head, cache: 'miss' },
      error: answered.error ?? left,
      hasBegun: isStream ? hasBegun : answered.hasBegun,
      firstTokenAt: isStream ? firstTokenAt : answered.firstTokenAt,
    };
  }

  /** What came of it for one who joined; `null` where that says nothing of this caller's own request. */
  #followed(asked: Asked, ridden: Ridden, old: CachedAnswer | undefined): Answered | Promise<Answered> | null {
    const { order, rule } = asked;
    const { landing, left, hasBegun, firstTokenAt, waitedMs } = ridden;
    if (left !== null) {
      this.#metrics.answered('coalesced');
      return { ...leftEarly(order, waitedMs, left), hasBegun, firstTokenAt };
    }
    if ('told' in landing) return this.#toldEnd(asked, ridden, landing);
    if ('kept' in landing) {
      const isGood = landing.how !== 'hit' || isFresh(landing.kept, this.#clock.now(), asked);
      return isGood ? this.#giveFound(asked, landing, waitedMs) : null;
    }
    const error = 'thrown' in landing ? landing.thrown : landing.answered.error;
    if (error !== null) {
      if (!hasBegun && !isShared(error)) return null;
      if (!hasBegun && this.#canRescue(old, error)) return this.#rescue(asked, old, null);
      this.#metrics.answered('coalesced');
      if ('thrown' in landing) throw landing.thrown;
      const { answered } = landing;
      const { last, head } = answered;
      const coalesced = { ...head, agent: order.agent, cache: 'coalesced' as const, attempts: 0, upstreamMs: waitedMs };
      return { ...answered, head: coalesced, last, usage: unused, trail: [], hasBegun, firstTokenAt };
    }
    if (!('answered' in landing)) return null;
    const { answered, parts, isWhole } = landing;
    const kept = { ...cachedHead(answered), usage: answered.usage, finishReason: answered.last.finishReason };
    const origin = { kept, cache: 'coalesced' as const, age: null, waitedMs };
    const isSameForm = order.chat.stream === (answered.last.answer === null);
    if (!isSameForm) {
      if (!isWhole) return null;
      const made = cachedAnswer(answered, parts, { policy: rule.policy, now: this.#clock.now() });
      return this.#give(asked, made, 'coalesced', waitedMs);
    }
    this.#metrics.answered('coalesced');
    this.#metrics.saved(order.served.pool.model.label, answered.usage);
    const said = { answer: answered.last.answer, firstTokenAt };
    return { ...answeredFree(order, origin, said), hasBegun, resumed: answered.resumed };
  }

  /** What came of another process' stream for whoever waited for it here; `null` where that has to ask for itself. */
  #toldEnd(
    asked: Asked,
    { left, hasBegun, firstTokenAt, waitedMs }: Ridden,
    { told, parts, isWhole }: Extract<Landing, { told: unknown }>,
  ): Answered | Promise<Answered> | null {
    const { order } = asked;
    const label = order.served.pool.model.label;
    if (left === null && !hasBegun && ('error' in told || !isWhole)) return null;
    if (left === null && !hasBegun && 'facts' in told) {
      return this.#give(asked, { ...told.facts, ...bodyOf(parts) }, 'coalesced', waitedMs);
    }
    this.#metrics.answered('coalesced');
    if (left !== null) return { ...leftEarly(order, waitedMs, left), hasBegun, firstTokenAt };
    if ('error' in told) return { ...leftEarly(order, waitedMs, told.error), hasBegun, firstTokenAt };
    this.#metrics.saved(label, told.facts.usage);
    const origin = { kept: told.facts, cache: 'coalesced' as const, age: null, waitedMs };
    return {
      ...answeredFree(order, origin, { answer: null, firstTokenAt }),
      hasBegun,
      resumed: told.resumed,
    };
  }

  #giveFound(asked: Asked, { kept, how }: Kept, waitedMs: number): Answered | Promise<Answered> {
    if (how === 'stale') this.#refresh(asked);
    return this.#give(asked, kept, how, how === 'coalesced' ? waitedMs : 0);
  }

  /** Has a newer answer fetched beside the old one, once. */
  #refresh(asked: Asked): void {
    const { order, key, background } = asked;
    const found = (kept: CachedAnswer): boolean => {
      if (!isFresh(kept, this.#clock.now(), asked)) return false;
      this.#memory.set(key, kept);
      return true;
    };
    if (!this.#flights.has(key.hash)) this.#refreshes.begin(key, order.call, background, found);
  }

  #canRescue(old: CachedAnswer | undefined, error: unknown): old is CachedAnswer {
    return old !== undefined && this.#clock.now() < old.rescueUntil && error instanceof MizanError && isOutage(error);
  }

  /** Gives an old answer in the place of none. */
  async #rescue(asked: Asked, old: CachedAnswer, failed: Answered | null): Promise<Answered> {
    const given = await this.#give(asked, old, 'stale');
    if (failed === null) return given;
    return { ...given, trail: failed.trail, head: { ...given.head, attempts: failed.head.attempts } };
  }
}
