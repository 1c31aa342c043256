import type { BudgetRule, Ledger, LimitRule } from '../../core/limit.ts';
import { picosOfBudget } from '../../core/money.ts';
import type { Period } from '../../core/period.ts';
import { periodAt } from '../../core/period.ts';
import type { Forgettable } from './meters.ts';
import { SlidingWindow } from './window.ts';

/** What one limit has counted for one of those it is for. */
export class LimitMeter implements Forgettable {
  /** May become another one of the same name. */
  rule: LimitRule;
  /** Names it everywhere: `limits/NAME`, and whose it is where each counts for itself. */
  readonly id: string;
  inFlight = 0;
  forget: (() => void) | null = null;
  /** Questions to other machines that nothing is known of yet. */
  asking = 0;
  #requests: SlidingWindow | null = null;
  #tokens: SlidingWindow | null = null;

  constructor(rule: LimitRule, id: string) {
    this.rule = rule;
    this.id = id;
  }

  /** `null` where requests are not limited; likewise `tokens`. */
  get requests(): SlidingWindow | null {
    if (this.rule.rpm === null) return null;
    this.#requests ??= new SlidingWindow();
    return this.#requests;
  }

  /** What other machines had counted when they were asked last, and when that was, on the monotonic clock. */
  readonly #elsewhere = { requests: { amount: 0, at: -Infinity }, tokens: { amount: 0, at: -Infinity } };

  /** Takes note of what all machines together have counted. @param monotonic Now. */
  heard(kind: 'requests' | 'tokens', monotonic: number, others: number): void {
    const known = this.#elsewhere[kind];
    known.amount = Math.max(0, others);
    known.at = monotonic;
  }

  /** What of that may still count: it leaves the window within a minute. */
  elsewhere(kind: 'requests' | 'tokens', monotonic: number): number {
    const { amount, at } = this.#elsewhere[kind];
    return amount === 0 ? 0 : amount * Math.max(0, 1 - (monotonic - at) / 60_000);
  }

  /** In how many ms nothing of that counts any more, at the latest. */
  elsewhereMs(kind: 'requests' | 'tokens', monotonic: number): number {
    const { amount, at } = this.#elsewhere[kind];
    return amount > 0 ? Math.max(0, at + 60_000 - monotonic) : 0;
  }

  /** What was let in without anybody's word, and nobody was told of. */
  readonly unheard = { requests: 0, tokens: 0, inFlight: 0 };

  /** What was counted here while other machines could not be told of it. */
  readonly missed = { requests: null as SlidingWindow | null, tokens: null as SlidingWindow | null };

  /** @param monotonic Now. */
  miss(kind: 'requests' | 'tokens', monotonic: number, amount: number): void {
    (this.missed[kind] ??= new SlidingWindow()).add(monotonic, amount);
  }

  get tokens(): SlidingWindow | null {
    if (this.rule.tpm === null) return null;
    this.#tokens ??= new SlidingWindow();
    return this.#tokens;
  }

  /** Whether nothing would be lost if it were forgotten. */
  isIdle(monotonic: number): boolean {
    const isUsed = (window: SlidingWindow | null): boolean => (window?.used(monotonic) ?? 0) > 0;
    return this.inFlight === 0 && this.asking === 0 && !isUsed(this.#requests) && !isUsed(this.#tokens);
  }
}

/** How often it is looked what other processes have paid, in ms. */
const lookMs = 1000;

/** What one budget has paid and promised, for one of those it is for. In picodollars. */
export class BudgetMeter implements Forgettable {
  readonly id: string;
  #rule: BudgetRule;
  #limit: bigint;
  /** What attempts that run now may cost at the most. */
  reserved = 0n;
  forget: (() => void) | null = null;
  /** Questions to other machines that nothing is known of yet. */
  asking = 0;
  /** At how many percent of it somebody was told in this period, the most. */
  told = -1;
  readonly #ledger: Ledger;
  #period: Period = { start: 0, end: -Infinity };
  #used = 0n;
  /** What other processes on the same database have paid, when it was looked at last. */
  #paidElsewhere = 0n;
  #lookedAt = -Infinity;

  constructor(rule: BudgetRule, id: string, ledger: Ledger) {
    this.#rule = rule;
    this.id = id;
    this.#limit = picosOfBudget(rule.usd);
    this.#ledger = ledger;
  }

  get rule(): BudgetRule {
    return this.#rule;
  }

  /** It may become another one of the same name. */
  set rule(rule: BudgetRule) {
    const before = this.#rule;
    if (rule === before) return;
    this.#rule = rule;
    if (rule.usd !== before.usd) {
      this.#limit = picosOfBudget(rule.usd);
      this.#cap = null;
      this.told = -1;
    }
    // Only what was paid in another period is looked up: of this one, the ledger may not have all yet.
    if (rule.per !== before.per || rule.timezone !== before.timezone) this.#period = { start: 0, end: -Infinity };
  }

  get limit(): bigint {
    return this.#limit;
  }

  /** The period that `now` lies in. Another one begins with what the ledger knows of it. */
  period(now: number): Period {
    if (now >= this.#period.end || now < this.#period.start) {
      this.#period = periodAt(now, this.rule.per, this.rule.timezone);
      this.#used = this.#ledger.used(this.id, this.#period.start);
      this.told = -1;
      this.elsewhere = 0n;
      this.#paidElsewhere = 0n;
      this.#lookedAt = -Infinity;
      this.#cap = null;
    }
    if (Math.abs(now - this.#lookedAt) >= lookMs) this.#look(now);
    // What was reached before this process began, others have told.
    if (this.told < 0) {
      this.told = 0;
      this.told = this.reached(now);
    }
    return this.#period;
  }

  #look(now: number): void {
    this.#lookedAt = now;
    const all = this.#ledger.paidByAll(this.id, this.#period.start);
    if (all !== null && all - this.#used > this.#paidElsewhere) this.#paidElsewhere = all - this.#used;
  }

  /** What others have paid and hold of it, as far as anybody said. */
  others(now: number): bigint {
    this.period(now);
    return this.elsewhere > this.#paidElsewhere ? this.elsewhere : this.#paidElsewhere;
  }

  /** The highest of the shares at which somebody is told that is used up, in percent; 0 where none is. */
  reached(now: number): number {
    const used = (this.used(now) + this.others(now)) * 100n;
    return this.rule.alerts.reduce(
      (most, percent) => (used >= this.#limit * BigInt(percent) ? Math.max(most, percent) : most),
      0,
    );
  }

  /** What was paid in the period of `now`. */
  used(now: number): bigint {
    this.period(now);
    return this.#used;
  }

  /** What is neither paid nor promised; below 0 where an answer cost more than it was taken for. */
  left(now: number): bigint {
    return this.limit - this.used(now) - this.reserved - this.#paidElsewhere;
  }

  /** @param start Of the period that pays: what was promised in one that is over is not paid by the next. */
  pay(start: number, cost: number): void {
    if (start === this.#period.start) this.#used += BigInt(cost);
  }

  /** What other machines had paid and held when they were heard of last. */
  elsewhere = 0n;
  /** How much this machine may pay and hold while it hears of nobody; `null` while it does. */
  #cap: bigint | null = null;

  /** What was let in without anybody's word, and nobody was told of. */
  unheard = 0n;

  /**
   * Takes note of what all machines together have paid and hold.
   * @param isWhole Whether all of them have told it: else what was known of others before is not less.
   */
  heard(all: bigint, now: number, isWhole = true): void {
    const others = all - this.used(now) - this.reserved;
    if (isWhole) this.elsewhere = 0n;
    if (others > this.elsewhere) this.elsewhere = others;
    // A share that was given out of what was known before is not given again before all is known.
    if (isWhole) this.#cap = null;
  }

  /** Whether it fits by what is known here: what others pay counts as it was when they were heard of. */
  fitsKnown(amount: number, now: number): boolean {
    return this.used(now) + this.reserved + this.others(now) + BigInt(amount) <= this.#limit;
  }

  /** Whether so much more would be a small part of what is left by all that is known. */
  isSmall(amount: number, now: number, parts: number): boolean {
    const left = this.#limit - this.used(now) - this.reserved - this.others(now) + this.unheard;
    return (this.unheard + BigInt(amount)) * BigInt(parts) <= left;
  }

  /** Whether it may hold so much more without asking anybody: of what was left when they were heard of, its share. */
  fitsShare(amount: number, now: number, machines: number): boolean {
    const own = this.used(now) + this.reserved;
    if (this.#cap === null) {
      const left = this.#limit - this.others(now) - own;
      this.#cap = left > 0n ? own + left / BigInt(machines) : own;
    }
    return own + BigInt(amount) <= this.#cap;
  }

  /** Whether nothing would be lost if it were forgotten: the ledger may not have yet what it paid just now. */
  isIdle(): boolean {
    if (this.reserved !== 0n || this.asking > 0) return false;
    return this.#used === 0n || this.#used === this.#ledger.used(this.id, this.#period.start);
  }
}
