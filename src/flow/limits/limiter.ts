import type { Clock } from '../../core/clock.ts';
import { MizanError } from '../../core/errors.ts';
import type { BudgetRule, Ledger, LimitRule, LimitRules, SharedCounters } from '../../core/limit.ts';
import type { Principal } from '../../core/principal.ts';
import type { SpendingOrder } from '../attempts/order.ts';
import { Account } from './account.ts';
import type { Bank, Used } from './account.ts';
import type { Claim, Refusal } from './claim.ts';
import { count, errorOf, refusalOf } from './claim.ts';
import { mostOf } from './estimate.ts';
import { BudgetMeter, LimitMeter } from './meter.ts';
import type { Facts } from './rulebook.ts';
import { Rulebook, rulesOfKey } from './rulebook.ts';
import { Sharing } from './sharing.ts';

/** What the limiter tells as it happens. */
export interface LimiterEvents {
  /** Somebody was refused. */
  refused(rule: LimitRule | BudgetRule, claim: Claim['kind']): void;
  /** A budget has paid. */
  paid(meter: BudgetMeter): void;
}

export interface LimiterSettings {
  /** Of the configuration. */
  readonly limits: readonly LimitRule[];
  readonly budgets: readonly BudgetRule[];
  /** Machines that share the limits, at the least: for when they can't be asked. */
  readonly machines: number;
  /** Output tokens that an answer is taken for where nobody knows the most it may have. */
  readonly assumedOutputTokens: number;
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
}

/** What counts for a call. */
interface Found {
  readonly limits: LimitMeter[];
  readonly budgets: BudgetMeter[];
}

/** Meters that are kept; beyond that, those that count nothing are forgotten. */
const maxMeters = 50_000;

/** Lets calls in and attempts spend, as far as the limits and budgets that are for them allow. */
export class Limiter {
  readonly clock: Clock;
  readonly #settings: LimiterSettings;
  readonly #rules: LimitRules;
  readonly #ledger: Ledger;
  readonly #events: LimiterEvents;
  readonly #sharing: Sharing | null;
  readonly #limitMeters = new Map<string, LimitMeter>();
  readonly #budgetMeters = new Map<string, BudgetMeter>();
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
    this.#limits = new Rulebook('limits', [], this.#limitMeter);
    this.#budgets = new Rulebook('budgets', [], this.#budgetMeter);
    this.#look();
  }

  /** Whether this machine keeps to its share of the limits, since it can't ask the others. */
  get isByShare(): boolean {
    return this.#sharing?.isByShare ?? false;
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

  /** Lets a call in, or says why not; `null` where nothing limits it. At once where nobody else has to be asked. */
  admit(asking: Asking): Account | null | Promise<Account> {
    this.#look();
    const found = this.#find(asking);
    if (found === null) return null;
    const claims: Claim[] = [];
    for (const meter of found.limits) {
      if (meter.rule.rpm !== null) claims.push({ kind: 'requests', meter, amount: 1 });
      if (meter.rule.maxInFlight !== null) claims.push({ kind: 'inFlight', meter, amount: 1 });
    }
    const counts = this.#isByModel || found.budgets.length > 0 || found.limits.some(({ rule }) => rule.tpm !== null);
    if (claims.length === 0 && !counts) return null;
    const bank = this.#for(asking, found);
    const open = (refusal: Refusal | null): Account =>
      new Account(bank, { claims, counts, refusal: refusal === null ? null : this.#refuse(refusal) });
    const taken = this.#take(claims);
    return taken instanceof Promise ? taken.then(open) : open(taken);
  }

  /** The bank of one call: it knows who asks. */
  #for(asking: Asking, found: Found): Bank {
    return {
      clock: this.clock,
      claim: (order) =>
        this.#claim(order.model === asking.model ? found : this.#find({ ...asking, model: order.model }), order),
      settle: (claims, at, used) => this.#settle(claims, at, used),
    };
  }

  #claim(found: Found | null, order: SpendingOrder): readonly Claim[] | Promise<readonly Claim[]> {
    if (found === null) return [];
    const claims: Claim[] = [];
    const { inputTokens, outputTokens, isAssumed, cost } = mostOf(order, this.#settings.assumedOutputTokens);
    for (const meter of found.limits) {
      if (meter.rule.tpm === null) continue;
      // Where nobody said how long the answer may be, the whole of a limit is enough for it.
      const output = isAssumed ? Math.min(outputTokens, Math.max(0, meter.rule.tpm - inputTokens)) : outputTokens;
      claims.push({ kind: 'tokens', meter, amount: inputTokens + output });
    }
    for (const meter of found.budgets) {
      if (cost === null) throw unpriced(meter.rule, order);
      claims.push({ kind: 'money', meter, amount: cost, start: meter.period(this.clock.now()).start });
    }
    const met = (refusal: Refusal | null): readonly Claim[] => {
      if (refusal !== null) throw this.#refuse(refusal);
      return claims;
    };
    const taken = this.#take(claims);
    return taken instanceof Promise ? taken.then(met) : met(taken);
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
  }

  #take(claims: readonly Claim[]): Refusal | null | Promise<Refusal | null> {
    if (this.#sharing !== null && claims.length > 0) return this.#sharing.take(claims);
    const monotonic = this.clock.monotonic();
    const refusal = refusalOf(claims, monotonic, this.clock.now());
    if (refusal === null) count(claims, monotonic, 1);
    return refusal;
  }

  #refuse(refusal: Refusal): MizanError {
    this.#events.refused(refusal.claim.meter.rule, refusal.claim.kind);
    return errorOf(refusal, this.clock.monotonic(), this.clock.now());
  }

  /** The meters that a call, or an attempt at another model, is counted by; `null` where there are none. */
  #find({ principal, agent, model }: Asking): Found | null {
    const own = rulesOfKey(principal);
    if (own === null && this.#limits.rules.length === 0 && this.#budgets.rules.length === 0) return null;
    const { tenant, subject, credential, via } = principal;
    const facts: Facts = { key: via === 'api-key' ? credential : null, principal: subject, agent, model, tenant };
    const found: Found = { limits: [], budgets: [] };
    if (own !== null && own.limit !== null) found.limits.push(this.#limitMeter(own.limit, own.id));
    if (own !== null && own.budget !== null) found.budgets.push(this.#budgetMeter(own.budget, own.id));
    this.#limits.find(facts, found.limits);
    this.#budgets.find(facts, found.budgets);
    return found;
  }

  readonly #limitMeter = (rule: LimitRule, id: string): LimitMeter => {
    let meter = this.#limitMeters.get(id);
    if (meter === undefined) {
      const monotonic = this.clock.monotonic();
      this.#makeRoom(this.#limitMeters, (each) => each.isIdle(monotonic));
      meter = new LimitMeter(rule, id);
      this.#limitMeters.set(id, meter);
    }
    meter.rule = rule;
    return meter;
  };

  readonly #budgetMeter = (rule: BudgetRule, id: string): BudgetMeter => {
    let meter = this.#budgetMeters.get(id);
    if (meter === undefined) {
      this.#makeRoom(this.#budgetMeters, (each) => each.isIdle());
      meter = new BudgetMeter(rule, id, this.#ledger);
      this.#budgetMeters.set(id, meter);
    }
    meter.rule = rule;
    return meter;
  };

  #makeRoom<M>(meters: Map<string, M>, isIdle: (meter: M) => boolean): void {
    if (meters.size < maxMeters) return;
    for (const [id, meter] of meters) {
      if (isIdle(meter)) meters.delete(id);
      if (meters.size < maxMeters * 0.9) break;
    }
    // The books know those that went, and are to ask again.
    this.#version = -1;
  }

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

/** The configuration's own come first: one of the same name that was made while Mizan ran is not looked at. */
function merged<R extends { readonly name: string }>(config: readonly R[], made: readonly R[]): R[] {
  const names = new Set(config.map(({ name }) => name));
  return [...config, ...made.filter(({ name }) => !names.has(name))];
}

/** Meters of rules that are no more. What is under way is settled with them all the same. */
function forgetOthers<M extends { readonly rule: LimitRule | BudgetRule }>(
  meters: Map<string, M>,
  rules: readonly (LimitRule | BudgetRule)[],
): void {
  const names = new Set(rules.map(({ name }) => name));
  for (const [id, { rule }] of meters) if (rule.source !== 'key' && !names.has(rule.name)) meters.delete(id);
}

function unpriced(rule: BudgetRule, { instance }: SpendingOrder): MizanError {
  const { provider, upstreamModel } = instance;
  const line = `providers.${provider.name}.prices: { ${JSON.stringify(upstreamModel)}: { input: …, output: … } }`;
  const name = rule.source === 'key' ? `of the API key ${rule.name}` : `"${rule.name}"`;
  return new MizanError(
    'price_unknown',
    `${upstreamModel} has no price, and the budget ${name} can't pay for what it doesn't know. In the configuration, in US dollars per million tokens: ${line}`,
  );
}
