import type { Clock } from '../../core/clock.ts';
import type { MizanError } from '../../core/errors.ts';
import type { Charge } from '../../core/limit.ts';
import { picosOf } from '../../core/money.ts';
import type { Quota, QuotaLeft } from '../../core/quota.ts';
import type { Usage } from '../../core/usage.ts';
import { unknownUsage } from '../../core/usage.ts';
import type { Hold, Spending, SpendingOrder } from '../attempts/order.ts';
import type { Claim } from './claim.ts';
import { leftOf, limitOf, usedOf } from './claim.ts';
import type { LimitMeter } from './meter.ts';

/** What an account needs of the limiter. */
export interface Bank {
  readonly clock: Clock;
  /** The limits that are for the call, with the model that it asked for. */
  readonly limits: readonly LimitMeter[];
  /** What an attempt claims. @param hasTokens Whether its tokens are counted. */
  claim(order: SpendingOrder, hasTokens: boolean): Claimed | Promise<Claimed>;
  /** Waits until the tokens are counted that were refused last; `null` where waiting is not for that. */
  awaitTokens(order: SpendingOrder, waitedMs: number): Promise<Awaited | null>;
  /** Ends claims that were counted at `at` on the monotonic clock, by what was really used. */
  settle(claims: readonly Claim[], at: number, used: Used): void;
  /** Ends claims that were counted at `at` as if they had never been. */
  giveBack(claims: readonly Claim[], at: number): void;
}

/** What was claimed; all of it is counted, unless there is an error. */
export interface Claimed {
  readonly claims: readonly Claim[];
  readonly error: MizanError | null;
}

/** Claims that were waited for. */
export interface Awaited extends Claimed {
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
  /**
   * The claims of the last attempt, or of one that could not be made: their limits on tokens are what headers tell of.
   * `own` is what of each is used by the attempt itself; `null` for all that it claims.
   */
  #last: { readonly claims: readonly Claim[]; readonly own: number | null } = { claims: [], own: 0 };
  /** Whether there was no room for an attempt when none had been made. */
  #hadNoRoom = false;
  #attempts = 0;
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
    const claimed = this.#bank.claim(order, false);
    return claimed instanceof Promise ? claimed.then((met) => this.#hold(order, met)) : this.#hold(order, claimed);
  }

  async awaitRoom(order: SpendingOrder): Promise<boolean> {
    const awaited = await this.#bank.awaitTokens(order, this.#waitedMs);
    if (awaited === null) return false;
    const { claims, waitedMs } = awaited;
    this.#waitedMs += waitedMs;
    this.#check(awaited);
    this.#granted = { model: order.model, claims, at: this.#bank.clock.monotonic() };
    return true;
  }

  /** What was waited for is there already, unless another model is asked in the end. */
  async #reserveRest(order: SpendingOrder, granted: Held & { readonly model: string }): Promise<Hold> {
    const isForIt = granted.model === order.model;
    if (!isForIt) this.#giveGrantedBack();
    const rest = await this.#bank.claim(order, isForIt);
    if (!isForIt) return this.#hold(order, rest);
    if (rest.error !== null) {
      this.#giveGrantedBack();
      return this.#hold(order, { ...rest, claims: granted.claims });
    }
    this.#granted = null;
    return this.#hold(order, { claims: [...granted.claims, ...rest.claims], error: null }, granted.at);
  }

  /** @throws MizanError where there was no room. */
  #check({ claims, error }: Claimed): void {
    this.#last = { claims, own: error === null ? null : 0 };
    if (error === null) return;
    this.#hadNoRoom ||= this.#attempts === 0;
    throw error;
  }

  #giveGrantedBack(): void {
    if (this.#granted !== null) this.#bank.settle(this.#granted.claims, this.#granted.at, nothing);
    this.#granted = null;
  }

  #hold(order: SpendingOrder, claimed: Claimed, at = this.#bank.clock.monotonic()): Hold {
    this.#check(claimed);
    this.#attempts++;
    const { claims } = claimed;
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
    if (held.claims === this.#last.claims) this.#last = { claims: held.claims, own: tokens };
    if (usage.source === 'none') return;
    const budgets: (readonly [string, number])[] = [];
    for (const claim of held.claims) if (claim.kind === 'money') budgets.push([claim.meter.id, claim.start]);
    this.#charges.push({ seq: this.#charges.length, model, cost, budgets });
  }

  /** What is left of the narrowest limits, for the headers of the answer. */
  quota(): Quota | null {
    const requests = this.#left('requests', { claims: this.#claims, own: this.#isCounted ? null : 0 });
    const tokens = this.#left('tokens', this.#last);
    return requests === null && tokens === null ? null : { requests, tokens };
  }

  /** Of what was claimed, else, as of tokens before any attempt, of what is known here. */
  #left(
    kind: 'requests' | 'tokens',
    { claims, own }: { readonly claims: readonly Claim[]; readonly own: number | null },
  ): QuotaLeft | null {
    const now = this.#bank.clock.monotonic();
    let narrowest: LimitMeter | null = null;
    let least = Infinity;
    for (const claim of claims) {
      if (claim.kind !== kind) continue;
      // What all had used was asked before it was counted.
      const since = claim.seen === undefined ? 0 : (own ?? claim.amount);
      const left = limitOf(claim) - usedOf(claim, now) - since;
      if (left >= least) continue;
      least = left;
      narrowest = claim.meter;
    }
    for (const meter of narrowest === null ? this.#bank.limits : []) {
      const window = kind === 'requests' ? meter.requests : meter.tokens;
      const limit = kind === 'requests' ? meter.rule.rpm : meter.rule.tpm;
      if (window === null || limit === null) continue;
      const left = limit - window.used(now) - meter.elsewhere(kind, now);
      if (left >= least) continue;
      least = left;
      narrowest = meter;
    }
    return narrowest === null ? null : leftOf(narrowest, kind, least, now);
  }

  /** Whether the call itself counts: a request that was refused by one limit counts for none. */
  get #isCounted(): boolean {
    return this.refusal === null && !(this.#isClosed && this.#isTurnedAway);
  }

  get #isTurnedAway(): boolean {
    return this.#hadNoRoom && this.#attempts === 0;
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
    if (this.refusal === null && this.#isTurnedAway) {
      this.#bank.giveBack(this.#claims, this.#at);
    } else if (this.refusal === null) {
      const inFlight = this.#claims.filter(({ kind }) => kind === 'inFlight');
      if (inFlight.length > 0) this.#bank.settle(inFlight, this.#at, nothing);
    }
    return this.#charges.some(({ budgets }) => budgets.length > 0) ? this.#charges : [];
  }
}
