import type { KeyLimits } from '../../core/api-key.ts';
import { keyMeterId, rulesOfKeyLimits } from '../../core/budget-report.ts';
import type { BudgetRule, LimitField, LimitRule } from '../../core/limit.ts';
import { limitFields } from '../../core/limit.ts';
import type { CountedAs, Principal } from '../../core/principal.ts';

/** By what a request is told apart; `null` where it has no such thing. */
export type Facts = Readonly<Record<LimitField, string | null>>;

type Rule = LimitRule | BudgetRule;

/** By which field a rule is looked up: those with the most values first. */
const lookUps: readonly LimitField[] = ['key', 'principal', 'tenant', 'agent', 'model'];

/**
 * Makes what counts under an id, or finds it.
 * @param forget Is called where it is to be asked for anew the next time.
 */
type Make<R, M> = (rule: R, id: string, forget: () => void) => M;

/** A rule with what counts for it: one meter, or one for each value of its `*`. */
class Entry<R extends Rule, M> {
  readonly rule: R;
  readonly #section: string;
  readonly #make: Make<R, M>;
  /** Fields that have to be as they are said. */
  readonly #fixed: readonly (readonly [LimitField, string])[];
  /** Fields of which each value counts for itself. */
  readonly #each: readonly LimitField[];
  readonly #meters = new Map<string, M>();

  constructor(section: string, rule: R, make: Make<R, M>) {
    this.#section = section;
    this.rule = rule;
    this.#make = make;
    const { for: target } = rule;
    this.#fixed = limitFields.flatMap((field) => {
      const value = target[field];
      return value === undefined || value === '*' ? [] : [[field, value] as const];
    });
    // A principal's name means somebody else in another tenant.
    const isPersonal = target.principal !== undefined && target.tenant === undefined;
    this.#each = limitFields.filter((field) => target[field] === '*' || (field === 'tenant' && isPersonal));
  }

  /** `undefined` where the rule is not for this request. */
  meter(facts: Facts): M | undefined {
    for (const [field, value] of this.#fixed) if (facts[field] !== value) return undefined;
    let key = '';
    for (const field of this.#each) {
      const value = facts[field];
      if (value === null) return undefined;
      key = this.#each.length === 1 ? value : `${key}${value.length}:${value}`;
    }
    let meter = this.#meters.get(key);
    if (meter === undefined) {
      const subject = this.#each.map((field) => `|${field}=${encodeURIComponent(facts[field] ?? '')}`).join('');
      const forget = (): void => void this.#meters.delete(key);
      meter = this.#make(this.rule, `${this.#section}/${this.rule.name}${subject}`, forget);
      this.#meters.set(key, meter);
    }
    return meter;
  }
}

/** Finds what counts for a request without looking at all rules. */
export class Rulebook<R extends Rule, M> {
  readonly rules: readonly R[];
  readonly #byValue = new Map<LimitField, Map<string, Entry<R, M>[]>>();
  readonly #forAll: Entry<R, M>[] = [];

  /**
   * @param section Comes before the names: `limits` or `budgets`.
   * @param make Asked once for each id, until it is to be forgotten.
   */
  constructor(section: string, rules: readonly R[], make: Make<R, M>) {
    this.rules = rules;
    for (const rule of rules) this.#listFor(rule).push(new Entry(section, rule, make));
  }

  /** What counts for a request, into `found`. */
  find(facts: Facts, found: M[]): void {
    add(this.#forAll, facts, found);
    for (const [field, byValue] of this.#byValue) {
      const value = facts[field];
      const entries = value === null ? undefined : byValue.get(value);
      if (entries !== undefined) add(entries, facts, found);
    }
  }

  #listFor({ for: target }: R): Entry<R, M>[] {
    const field = lookUps.find((each) => target[each] !== undefined && target[each] !== '*');
    if (field === undefined) return this.#forAll;
    const byValue = this.#byValue.get(field) ?? new Map<string, Entry<R, M>[]>();
    this.#byValue.set(field, byValue);
    const value = target[field] ?? '';
    const list = byValue.get(value) ?? [];
    byValue.set(value, list);
    return list;
  }
}

function add<R extends Rule, M>(entries: readonly Entry<R, M>[], facts: Facts, found: M[]): void {
  for (const entry of entries) {
    const meter = entry.meter(facts);
    if (meter !== undefined) found.push(meter);
  }
}

/** The less it covers, the narrower: of several limits that are hit, the narrowest answers. */
export function breadthOf({ source, for: target }: Rule): number {
  if (source === 'key') return -1;
  const fields = limitFields.filter((field) => target[field] !== undefined);
  const narrowest = fields.length === 0 ? limitFields.length : limitFields.indexOf(fields[0] as LimitField);
  return narrowest * 10 - fields.length;
}

/** Whose limits hold a principal: of a job, those of who made it. */
export function countedAs({ countedAs: as, subject, credential, via, limits }: Principal): CountedAs {
  return as ?? { subject, key: via === 'api-key' ? credential : null, limits };
}

interface KeyRules {
  readonly key: string;
  readonly id: string;
  readonly limit: LimitRule | null;
  readonly budget: BudgetRule | null;
}

const known = new WeakMap<KeyLimits, KeyRules>();

/** An API key's own limits, as rules, the same each time; `null` where it has none. */
export function rulesOfKey({ key, limits }: CountedAs): KeyRules | null {
  if (limits === undefined || key === null) return null;
  const { rpm, tpm, maxInFlight, budget } = limits;
  if (rpm === null && tpm === null && maxInFlight === null && budget === null) return null;
  const before = known.get(limits);
  if (before?.key === key) return before;
  const rules = { key, id: keyMeterId(key), ...rulesOfKeyLimits(key, limits) };
  known.set(limits, rules);
  return rules;
}
