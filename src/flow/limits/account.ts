import type { Clock } from '../../core/clock.ts';
import type { MizanError } from '../../core/errors.ts';
import type { Charge } from '../../core/limit.ts';
import { picosOf } from '../../core/money.ts';
import type { Quota, QuotaLeft } from '../../core/quota.ts';
import type { Usage } from '../../core/usage.ts';
import { unknownUsage } from '../../core/usage.ts';
import type { Hold, Spending, SpendingOrder } from '../attempts/order.ts';
import type { Claim } from './claim.ts';
import { limitOf, usedOf } from './claim.ts';

/** What an account needs of the limiter. */
export interface Bank {
  readonly clock: Clock;
  /**
   * What an attempt claims, counted already.
   * @param hasTokens Whether its tokens are counted. @throws MizanError where a claim can't be met.
   */
  claim(order: SpendingOrder, hasTokens: boolean): readonly Claim[] | Promise<readonly Claim[]>;
  /**
   * Waits until the tokens are counted that were refused last; `null` where waiting is not for that.
   * @throws MizanError where it was in vain.
   */
  awaitTokens(order: SpendingOrder, waitedMs: number): Promise<Awaited | null>;
  /** Ends claims that were counted at `at` on the monotonic clock, by what was really used. */
  settle(claims: readonly Claim[], at: number, used: Used): void;
}

/** Claims that were waited for. */
export interface Awaited {
  readonly claims: readonly Claim[];
  readonly waitedMs: number;
}

/** What an attempt used. */
export interface Used {
  readonly tokens: number;
  /** In picodollars. */
  readonly cost: number;
}

/** Claims, and when they were counted, on the monotonic clock. */
interface Held {
  readonly claims: readonly Claim[];
  readonly at: number;
}

const nothing: Used = { tokens: 0, cost: 0 };

/** How long after the last request a window is empty, in ms. */
const windowMs = 60_000;

/** What limits one call: what it was let in by, and what its attempts hold and pay. */
export class Account implements Spending {
  readonly counts: boolean;
  /** Why the call was not let in; `null` where it was. */
  readonly refusal: MizanError | null;
  readonly #bank: Bank;
  /** What the call itself claims, counted already: requests, and requests in flight. */
  readonly #claims: readonly Claim[];
  readonly #at: number;
  readonly #charges: Charge[] = [];
  /** The claims of the last attempt, whose limits on tokens are what headers tell of. */
  #lastClaims: readonly Claim[] = [];
  /** Of attempts that are not over. */
  readonly #open = new Set<Hold>();
  /** Tokens that were waited for, for the next attempt at a model. */
  #granted: (Held & { readonly model: string }) | null = null;
  #waitedMs: number;
  #isClosed = false;

  constructor(
    bank: Bank,
    of: {
      readonly claims: readonly Claim[];
      readonly counts: boolean;
      readonly refusal: MizanError | null;
      readonly waitedMs?: number;
    },
  ) {
    this.#bank = bank;
    this.#claims = of.claims;
    this.counts = of.counts;
    this.refusal = of.refusal;
    this.#at = bank.clock.monotonic();
    this.#waitedMs = of.waitedMs ?? 0;
  }

  /** How long it waited for room in limits, in ms. */
  get waitedMs(): number {
    return this.#waitedMs;
  }

  reserve(order: SpendingOrder): Hold | null | Promise<Hold | null> {
    if (!this.counts) return null;
    if (this.#granted !== null) return this.#reserveRest(order, this.#granted);
    const claims = this.#bank.claim(order, false);
    return claims instanceof Promise ? claims.then((met) => this.#hold(order, met)) : this.#hold(order, claims);
  }

  async awaitRoom(order: SpendingOrder): Promise<boolean> {
    const awaited = await this.#bank.awaitTokens(order, this.#waitedMs);
    if (awaited === null) return false;
    const { claims, waitedMs } = awaited;
    this.#waitedMs += waitedMs;
    this.#granted = { model: order.model, claims, at: this.#bank.clock.monotonic() };
    return true;
  }

  /** What was waited for is there already, unless another model is asked in the end. */
  async #reserveRest(order: SpendingOrder, granted: Held & { readonly model: string }): Promise<Hold> {
    const isForIt = granted.model === order.model;
    if (!isForIt) this.#giveGrantedBack();
    try {
      const rest = await this.#bank.claim(order, isForIt);
      if (!isForIt) return this.#hold(order, rest);
      this.#granted = null;
      return this.#hold(order, [...granted.claims, ...rest], granted.at);
    } catch (error) {
      this.#giveGrantedBack();
      throw error;
    }
  }

  #giveGrantedBack(): void {
    if (this.#granted !== null) this.#bank.settle(this.#granted.claims, this.#granted.at, nothing);
    this.#granted = null;
  }

  #hold(order: SpendingOrder, claims: readonly Claim[], at = this.#bank.clock.monotonic()): Hold {
    this.#lastClaims = claims;
    const hold: Hold = {
      settle: (usage) => {
        if (this.#open.delete(hold)) this.#settle(order.model, { claims, at }, usage);
      },
    };
    this.#open.add(hold);
    return hold;
  }

  #settle(model: string, held: Held, usage: Usage): void {
    const tokens = usage.source === 'none' ? 0 : (usage.inputTokens ?? 0) + (usage.outputTokens ?? 0);
    const cost = usage.source === 'none' ? 0 : picosOf(usage.costUsd ?? 0);
    this.#bank.settle(held.claims, held.at, { tokens, cost });
    if (usage.source === 'none') return;
    const budgets: (readonly [string, number])[] = [];
    for (const claim of held.claims) if (claim.kind === 'money') budgets.push([claim.meter.id, claim.start]);
    this.#charges.push({ seq: this.#charges.length, model, cost, budgets });
  }

  /** What is left of the narrowest limits, for the headers of the answer. */
  quota(): Quota | null {
    const requests = this.#left('requests', this.#claims);
    const tokens = this.#left('tokens', this.#lastClaims);
    return requests === null && tokens === null ? null : { requests, tokens };
  }

  #left(kind: 'requests' | 'tokens', claims: readonly Claim[]): QuotaLeft | null {
    const now = this.#bank.clock.monotonic();
    let least: QuotaLeft | null = null;
    for (const claim of claims) {
      if (claim.kind !== kind) continue;
      const limit = limitOf(claim);
      const used = usedOf(claim, now);
      const own = claim.seen === undefined || this.refusal !== null ? 0 : claim.amount;
      const remaining = Math.max(0, Math.floor(limit - used - own));
      if (least !== null && remaining >= least.remaining) continue;
      least = { limit, remaining, resetMs: used > 0 ? windowMs : 0 };
    }
    return least;
  }

  /**
   * Ends it: gives its place back to others. Once all attempts are over.
   * @returns What belongs into the ledger: where any budget paid for an attempt, all of them.
   */
  close(): readonly Charge[] {
    if (this.#isClosed) return [];
    this.#isClosed = true;
    this.#giveGrantedBack();
    for (const hold of this.#open) hold.settle(unknownUsage);
    if (this.refusal === null) {
      const inFlight = this.#claims.filter(({ kind }) => kind === 'inFlight');
      if (inFlight.length > 0) this.#bank.settle(inFlight, this.#at, nothing);
    }
    return this.#charges.some(({ budgets }) => budgets.length > 0) ? this.#charges : [];
  }
}
