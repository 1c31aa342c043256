import { keyMeterId, rulesOfKeyLimits } from '../../core/budget-report.ts';
import type { BudgetRule, LimitField, LimitRule, LimitTarget } from '../../core/limit.ts';
import { limitFields } from '../../core/limit.ts';
import type { Principal } from '../../core/principal.ts';

/** By what a request is told apart; `null` where it has no such thing. */
export type Facts = Readonly<Record<LimitField, string | null>>;

/** A rule that is for a request, and the name of what counts for it. */
export interface Applied<R> {
  readonly rule: R;
  readonly id: string;
}

type Rule = LimitRule | BudgetRule;

/** By which field a rule is looked up: those with the most values first. */
const lookUps: readonly LimitField[] = ['key', 'principal', 'tenant', 'agent', 'model'];

/** Finds the rules that are for a request without looking at all of them. */
export class Rulebook<R extends Rule> {
  readonly rules: readonly R[];
  readonly #section: string;
  readonly #byValue = new Map<string, R[]>();
  readonly #forAll: R[] = [];
  readonly #fields: LimitField[];

  /** @param section Comes before the names: `limits` or `budgets`. */
  constructor(section: string, rules: readonly R[]) {
    this.rules = rules;
    this.#section = section;
    const fields = new Set<LimitField>();
    for (const rule of rules) {
      const field = lookUps.find((each) => rule.for[each] !== undefined && rule.for[each] !== '*');
      if (field === undefined) {
        this.#forAll.push(rule);
        continue;
      }
      fields.add(field);
      const key = `${field}=${rule.for[field] ?? ''}`;
      const same = this.#byValue.get(key);
      if (same === undefined) this.#byValue.set(key, [rule]);
      else same.push(rule);
    }
    this.#fields = [...fields];
  }

  /** Those that are for a request, into `found`. */
  find(facts: Facts, found: Applied<R>[]): void {
    for (const rule of this.#forAll) this.#add(rule, facts, found);
    for (const field of this.#fields) {
      const value = facts[field];
      const rules = value === null ? undefined : this.#byValue.get(`${field}=${value}`);
      for (const rule of rules ?? []) this.#add(rule, facts, found);
    }
  }

  #add(rule: R, facts: Facts, found: Applied<R>[]): void {
    const id = idFor(`${this.#section}/${rule.name}`, rule.for, facts);
    if (id !== null) found.push({ rule, id });
  }
}

/** `null` where the rule is not for this request. Each value of a `*` has an id of its own. */
function idFor(name: string, target: LimitTarget, facts: Facts): string | null {
  let id = name;
  for (const field of limitFields) {
    // A principal's name means somebody else in another tenant.
    const wanted = target[field] ?? (field === 'tenant' && target.principal !== undefined ? '*' : undefined);
    if (wanted === undefined) continue;
    const value = facts[field];
    if (value === null || (wanted !== '*' && wanted !== value)) return null;
    if (wanted === '*') id += `|${field}=${encodeURIComponent(value)}`;
  }
  return id;
}

/** The less it covers, the narrower: of several limits that are hit, the narrowest answers. */
export function breadthOf({ source, for: target }: Rule): number {
  if (source === 'key') return -1;
  const fields = limitFields.filter((field) => target[field] !== undefined);
  const narrowest = fields.length === 0 ? limitFields.length : limitFields.indexOf(fields[0] as LimitField);
  return narrowest * 10 - fields.length;
}

/** An API key's own limits, as rules. */
export function rulesOfKey({ credential, limits }: Principal): KeyRules | null {
  if (limits === undefined || credential === null) return null;
  const { rpm, tpm, maxInFlight, budget } = limits;
  if (rpm === null && tpm === null && maxInFlight === null && budget === null) return null;
  const id = keyMeterId(credential);
  const rules = rulesOfKeyLimits(credential, limits);
  return {
    limit: rules.limit === null ? null : { id, rule: rules.limit },
    budget: rules.budget === null ? null : { id, rule: rules.budget },
  };
}

interface KeyRules {
  readonly limit: Applied<LimitRule> | null;
  readonly budget: Applied<BudgetRule> | null;
}
