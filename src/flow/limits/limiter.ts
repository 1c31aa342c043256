import type { Clock } from '../../core/clock.ts';
import { MizanError } from '../../core/errors.ts';
import type { BudgetRule, Ledger, LimitRule, LimitRules, SharedCounters } from '../../core/limit.ts';
import type { Principal } from '../../core/principal.ts';
import { priorityOf } from '../../core/priority.ts';
import type { SpendingOrder } from '../attempts/order.ts';
import { Account } from './account.ts';
import type { Awaited, Bank, Claimed, Used } from './account.ts';
import type { Claim, Refusal } from './claim.ts';
import { count, errorOf, refusalOf, takeBack, unpriced } from './claim.ts';
import type { Most } from './estimate.ts';
import { mostOf } from './estimate.ts';
import { BudgetMeter, LimitMeter } from './meter.ts';
import type { Forgettable } from './meters.ts';
import { Meters } from './meters.ts';
import type { QueueSettings, Waited, WaitEnd, WaitResult } from './queue.ts';
import { helps, Queue } from './queue.ts';
import type { Facts } from './rulebook.ts';
import { countedAs, Rulebook, rulesOfKey } from './rulebook.ts';
import { Sharing } from './sharing.ts';

/** What the limiter tells as it happens. */
export interface LimiterEvents {
  /** Somebody was refused. */
  refused(rule: LimitRule | BudgetRule, claim: Claim['kind']): void;
  /** A budget has paid. */
  paid(meter: BudgetMeter): void;
  /** Somebody waited for room, or would have. */
  readonly waited: Waited;
}

export interface LimiterSettings {
  /** Of the configuration. */
  readonly limits: readonly LimitRule[];
  readonly budgets: readonly BudgetRule[];
  /** Machines that share the limits, at the least: for when they can't be asked. */
  readonly machines: number;
  /** Output tokens that an answer is taken for where nobody knows the most it may have. */
  readonly assumedOutputTokens: number;
  /** `null` where nobody waits for room. */
  readonly queue: QueueSettings | null;
}

export interface LimiterParts {
  readonly rules: LimitRules;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly events: LimiterEvents;
  /** `null` where this machine is the only one. */
  readonly shared: SharedCounters | null;
}

/** Who asks for what. */
export interface Asking {
  readonly principal: Principal;
  readonly agent: string | null;
  readonly model: string;
  /** Ends waiting for room; without one, there is none. */
  readonly signal?: AbortSignal;
}

/** What counts for a call. */
interface Found {
  readonly limits: LimitMeter[];
  readonly budgets: BudgetMeter[];
}

/** Lets calls in and attempts spend, as far as the limits and budgets that are for them allow. */
export class Limiter {
  readonly clock: Clock;
  readonly #settings: LimiterSettings;
  readonly #rules: LimitRules;
  readonly #ledger: Ledger;
  readonly #events: LimiterEvents;
  readonly #sharing: Sharing | null;
  readonly #queue: Queue | null;
  readonly #limitMeters = new Meters<LimitMeter>();
  readonly #budgetMeters = new Meters<BudgetMeter>();
  #version = -1;
  #limits: Rulebook<LimitRule, LimitMeter>;
  #budgets: Rulebook<BudgetRule, BudgetMeter>;
  /** Whether what an attempt may use depends on the model that it asks: then every call has an account. */
  #isByModel = false;

  constructor(settings: LimiterSettings, { rules, ledger, clock, events, shared }: LimiterParts) {
    this.clock = clock;
    this.#settings = settings;
    this.#rules = rules;
    this.#ledger = ledger;
    this.#events = events;
    const all = () => this.meters;
    this.#sharing = shared === null ? null : new Sharing(shared, { clock, all, machines: settings.machines });
    this.#sharing?.start();
    const isShared = shared !== null;
    const { queue } = settings;
    this.#queue = queue === null ? null : new Queue(queue, { clock, told: events.waited, isShared });
    this.#limits = new Rulebook('limits', [], this.#limitMeter);
    this.#budgets = new Rulebook('budgets', [], this.#budgetMeter);
    this.#look();
  }

  /** Whether this machine keeps to its share of the limits, since it can't ask the others. */
  get isByShare(): boolean {
    return this.#sharing?.isByShare ?? false;
  }

  /** Requests that wait for room, `null` where none ever does. */
  get queue(): Pick<Queue, 'size' | 'count'> | null {
    return this.#queue;
  }

  /** Tells others nothing more. */
  close(): void {
    this.#sharing?.stop();
  }

  /** All rules but those of API keys. */
  get rules(): { readonly limits: readonly LimitRule[]; readonly budgets: readonly BudgetRule[] } {
    this.#look();
    return { limits: this.#limits.rules, budgets: this.#budgets.rules };
  }

  /** What has counted anything. */
  get meters(): { readonly limits: Iterable<LimitMeter>; readonly budgets: Iterable<BudgetMeter> } {
    return { limits: this.#limitMeters.values(), budgets: this.#budgetMeters.values() };
  }

  /**
   * Lets a call in, or says why not; `null` where nothing limits it. At once where nobody else has to be asked and
   * nobody has to wait.
   */
  admit(asking: Asking): Account | null | Promise<Account> {
    this.#look();
    const found = this.#find(asking);
    if (found === null) return null;
    const claims = requestClaims(found);
    const counts = this.#isByModel || found.budgets.length > 0 || found.limits.some(({ rule }) => rule.tpm !== null);
    if (claims.length === 0 && !counts) return null;
    const bank = this.#for(asking, found);
    const open = (refusal: Refusal | null): Account | Promise<Account> => {
      if (refusal !== null && this.#queue !== null && asking.signal !== undefined) {
        return this.#openLater(asking, { bank, counts, refusal });
      }
      return new Account(bank, { claims, counts, refusal: refusal === null ? null : this.#refuse(refusal) });
    };
    const taken = this.#queue?.ahead(claims) ?? this.#take(claims);
    return taken instanceof Promise ? taken.then(open) : open(taken);
  }

  /** The rules may change meanwhile: what is needed is looked up whenever it is tried. */
  async #openLater(
    asking: Asking,
    of: { readonly bank: Bank; readonly counts: boolean; readonly refusal: Refusal },
  ): Promise<Account> {
    let claims: readonly Claim[] = [];
    const ask = (): readonly Claim[] => (claims = requestClaims(this.#find(asking)));
    const result = await this.#wait(asking, { refusal: of.refusal, waitedMs: 0, ask });
    if (result.refusal !== null) claims = requestClaims(this.#find(asking));
    const refusal = result.refusal === null ? null : this.#refuse(result.refusal, result);
    return new Account(of.bank, { ...of, claims, refusal, waitedMs: result.waitedMs });
  }

  #wait(
    { principal, signal = AbortSignal.abort() }: Asking,
    of: { readonly refusal: Refusal; readonly waitedMs: number; readonly ask: () => readonly Claim[] },
  ): Promise<WaitResult> {
    const { refusal, waitedMs, ask } = of;
    const queue = this.#queue;
    if (queue === null) return Promise.resolve({ refusal, end: 'refused', waitedMs: 0 });
    let claims: readonly Claim[] = [];
    return queue.wait({
      tenant: principal.tenant,
      priority: priorityOf(principal),
      refusal,
      limitMs: queue.waitMs - waitedMs,
      signal,
      take: () => {
        this.#look();
        claims = ask();
        return this.#take(claims);
      },
      giveBack: () => this.#giveBack(claims, this.clock.monotonic()),
    });
  }

  /** The bank of one call: it knows who asks. */
  #for(asking: Asking, found: Found): Bank {
    /** By which the last attempt was refused that may wait. */
    let refused: Refusal | null = null;
    const findFor = ({ model }: SpendingOrder): Found | null =>
      model === asking.model ? found : this.#find({ ...asking, model });
    return {
      clock: this.clock,
      limits: found.limits,
      claim: (order, hasTokens) => {
        const counted = findFor(order);
        const claims: Claim[] = [];
        if (counted !== null) {
          const most = mostOf(order, this.#settings.assumedOutputTokens);
          if (!hasTokens) addTokenClaims(claims, counted, most);
          const error = this.#addMoneyClaims(claims, counted, { order, most });
          if (error !== null) return { claims, error };
        }
        const met = (refusal: Refusal | null): Claimed => {
          if (refusal === null) return { claims, error: null };
          refused = this.#queue !== null && helps(refusal, this.#queue.waitMs) ? refusal : null;
          return { claims, error: refused === null ? this.#refuse(refusal) : this.#errorOf(refusal) };
        };
        const taken = this.#queue?.ahead(claims) ?? this.#take(claims);
        return taken instanceof Promise ? taken.then(met) : met(taken);
      },
      awaitTokens: async (order, waitedMs) => {
        if (refused === null) return null;
        return this.#awaitTokens(asking, order, { refusal: refused, waitedMs });
      },
      settle: (claims, at, used) => this.#settle(claims, at, used),
      giveBack: (claims, at) => {
        this.#giveBack(claims, at);
        this.#queue?.settled(claims);
      },
    };
  }

  async #awaitTokens(
    asking: Asking,
    order: SpendingOrder,
    of: { readonly refusal: Refusal; readonly waitedMs: number },
  ): Promise<Awaited> {
    let claims: readonly Claim[] = [];
    const ask = (): readonly Claim[] => {
      const needed: Claim[] = [];
      const found = this.#find({ ...asking, model: order.model });
      if (found !== null) addTokenClaims(needed, found, mostOf(order, this.#settings.assumedOutputTokens));
      claims = needed;
      return needed;
    };
    const result = await this.#wait(asking, { ...of, ask });
    const error = result.refusal === null ? null : this.#refuse(result.refusal, result);
    return { claims, error, waitedMs: result.waitedMs };
  }

  /** Why it can't be: a budget would have to pay what nobody knows; `null` where they are there. */
  #addMoneyClaims(
    claims: Claim[],
    { budgets }: Found,
    { order, most }: { readonly order: SpendingOrder; readonly most: Most },
  ): MizanError | null {
    for (const meter of budgets) {
      if (most.cost === null) return unpriced(meter.rule, order);
      claims.push({ kind: 'money', meter, amount: most.cost, start: meter.period(this.clock.now()).start });
    }
    return null;
  }

  #settle(claims: readonly Claim[], at: number, { tokens, cost }: Used): void {
    const now = this.clock.monotonic();
    for (const claim of claims) {
      if (claim.kind === 'money') {
        claim.meter.reserved -= BigInt(claim.amount);
        claim.meter.pay(claim.start, cost);
        this.#events.paid(claim.meter);
      } else if (claim.kind === 'inFlight') {
        claim.meter.inFlight -= claim.amount;
      } else if (claim.kind === 'tokens') {
        claim.meter.tokens?.adjust(at, now, tokens - claim.amount);
      }
    }
    this.#sharing?.ended(claims, at, { tokens, cost });
    this.#queue?.settled(claims);
  }

  /** As if they had never been counted. @param at When they were, on the monotonic clock. */
  #giveBack(claims: readonly Claim[], at: number): void {
    takeBack(claims, at, this.clock.monotonic());
    this.#sharing?.ended(claims, at, { tokens: 0, cost: 0 });
  }

  #take(claims: readonly Claim[]): Refusal | null | Promise<Refusal | null> {
    if (this.#sharing !== null && claims.length > 0) return this.#sharing.take(claims);
    const monotonic = this.clock.monotonic();
    const refusal = refusalOf(claims, monotonic, this.clock.now());
    if (refusal === null) count(claims, monotonic);
    return refusal;
  }

  #refuse(refusal: Refusal, waited?: { readonly end: WaitEnd; readonly waitedMs: number }): MizanError {
    if (waited?.end !== 'left') this.#events.refused(refusal.claim.meter.rule, refusal.claim.kind);
    return this.#errorOf(refusal, waited);
  }

  #errorOf(refusal: Refusal, waited?: { readonly end: WaitEnd; readonly waitedMs: number }): MizanError {
    if (waited?.end === 'left') return new MizanError('client_closed', 'The caller went away.');
    return errorOf(refusal, this.clock.monotonic(), this.clock.now(), waited === undefined ? '' : wordsOf(waited));
  }

  /** The meters that a call, or an attempt at another model, is counted by; `null` where there are none. */
  #find({ principal, agent, model }: Asking): Found | null {
    const as = countedAs(principal);
    const own = rulesOfKey(as);
    if (own === null && this.#limits.rules.length === 0 && this.#budgets.rules.length === 0) return null;
    const facts: Facts = { key: as.key, principal: as.subject, agent, model, tenant: principal.tenant };
    const found: Found = { limits: [], budgets: [] };
    if (own !== null && own.limit !== null) found.limits.push(this.#limitMeter(own.limit, own.id));
    if (own !== null && own.budget !== null) found.budgets.push(this.#budgetMeter(own.budget, own.id));
    this.#limits.find(facts, found.limits);
    this.#budgets.find(facts, found.budgets);
    return found;
  }

  readonly #limitMeter = (rule: LimitRule, id: string, forget: LimitMeter['forget'] = null): LimitMeter => {
    let meter = this.#limitMeters.get(id);
    if (meter === undefined) {
      meter = new LimitMeter(rule, id);
      const monotonic = this.clock.monotonic();
      this.#limitMeters.add(id, meter, (each) => each.isIdle(monotonic));
    }
    meter.rule = rule;
    meter.forget = forget;
    return meter;
  };

  readonly #budgetMeter = (rule: BudgetRule, id: string, forget: BudgetMeter['forget'] = null): BudgetMeter => {
    let meter = this.#budgetMeters.get(id);
    if (meter === undefined) {
      meter = new BudgetMeter(rule, id, this.#ledger);
      this.#budgetMeters.add(id, meter, (each) => each.isIdle());
    }
    meter.rule = rule;
    meter.forget = forget;
    return meter;
  };

  /** Takes over what was changed, here or by another process. */
  #look(): void {
    const { version } = this.#rules;
    if (version === this.#version) return;
    this.#version = version;
    const limits = merged(this.#settings.limits, this.#rules.limits());
    const budgets = merged(this.#settings.budgets, this.#rules.budgets());
    this.#limits = new Rulebook('limits', limits, this.#limitMeter);
    this.#budgets = new Rulebook('budgets', budgets, this.#budgetMeter);
    const isByModel = (rule: LimitRule | BudgetRule): boolean => rule.for.model !== undefined;
    this.#isByModel = budgets.some(isByModel) || limits.some((rule) => rule.tpm !== null && isByModel(rule));
    forgetOthers(this.#limitMeters, limits);
    forgetOthers(this.#budgetMeters, budgets);
  }
}

/** Of a call itself: requests, and requests in flight. */
function requestClaims(found: Found | null): Claim[] {
  const claims: Claim[] = [];
  for (const meter of found?.limits ?? []) {
    if (meter.rule.rpm !== null) claims.push({ kind: 'requests', meter, amount: 1 });
    if (meter.rule.maxInFlight !== null) claims.push({ kind: 'inFlight', meter, amount: 1 });
  }
  return claims;
}

function addTokenClaims(claims: Claim[], { limits }: Found, { inputTokens, outputTokens, isAssumed }: Most): void {
  for (const meter of limits) {
    if (meter.rule.tpm === null) continue;
    // Where nobody said how long the answer may be, the whole of a limit is enough for it.
    const output = isAssumed ? Math.min(outputTokens, Math.max(0, meter.rule.tpm - inputTokens)) : outputTokens;
    claims.push({ kind: 'tokens', meter, amount: inputTokens + output, prompt: inputTokens });
  }
}

function wordsOf({ end, waitedMs }: { readonly end: WaitEnd; readonly waitedMs: number }): string {
  if (end === 'full') return ' Too many wait for room already.';
  return waitedMs < 1 ? '' : ` It waited ${Math.round(waitedMs)} ms for room.`;
}

/** The configuration's own come first: one of the same name that was made while Mizan ran is not looked at. */
function merged<R extends { readonly name: string }>(config: readonly R[], made: readonly R[]): R[] {
  const names = new Set(config.map(({ name }) => name));
  return [...config, ...made.filter(({ name }) => !names.has(name))];
}

/** Meters of rules that are no more. What is under way is settled with them all the same. */
function forgetOthers<M extends Forgettable & { readonly rule: LimitRule | BudgetRule }>(
  meters: Meters<M>,
  rules: readonly (LimitRule | BudgetRule)[],
): void {
  const names = new Set(rules.map(({ name }) => name));
  meters.retain(({ rule }) => rule.source === 'key' || names.has(rule.name));
}
