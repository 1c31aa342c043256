import type { ApiKeyRecord, KeyLimits } from './api-key.ts';
import type { BudgetRule, BudgetUse, LimitField, LimitRule, LimitTarget } from './limit.ts';
import { usualAlerts } from './limit.ts';
import { picosOfBudget, usdOf, usdText } from './money.ts';
import { periodAt } from './period.ts';

/** The name of what counts for an API key's own limits. */
export function keyMeterId(id: string): string {
  return `key/${id}`;
}

/** An API key's own limits as rules; `null` where it has none. */
export function rulesOfKeyLimits(
  id: string,
  { rpm, tpm, maxInFlight, budget }: KeyLimits,
): { readonly limit: LimitRule | null; readonly budget: BudgetRule | null } {
  const common = { name: id, source: 'key', for: { key: id } } as const;
  const isLimited = rpm !== null || tpm !== null || maxInFlight !== null;
  return {
    limit: isLimited ? { ...common, rpm, tpm, maxInFlight } : null,
    budget:
      budget === null
        ? null
        : { ...common, usd: budget.usd, per: budget.per, timezone: budget.timezone ?? 'UTC', alerts: usualAlerts },
  };
}

/** The budgets of keys that have one. */
export function budgetsOfKeys(keys: readonly ApiKeyRecord[]): BudgetRule[] {
  return keys.flatMap(({ id, limits }) => rulesOfKeyLimits(id, limits).budget ?? []);
}

/** Whose a meter's count is: what stands in its name after the rule's. */
export function subjectOf(id: string, target: LimitTarget): LimitTarget {
  const subject: Partial<Record<LimitField, string>> = { ...target };
  for (const part of id.split('|').slice(1)) {
    const at = part.indexOf('=');
    subject[part.slice(0, at) as LimitField] = decodeURIComponent(part.slice(at + 1));
  }
  return subject;
}

/** The name of what counts for a rule where everybody counts together; where each does, what its names begin with. */
export function meterIdOf(section: 'limits' | 'budgets', { name, source }: LimitRule | BudgetRule): string {
  return source === 'key' ? keyMeterId(name) : `${section}/${name}`;
}

/** What a budget paid and promised just now; in picodollars. */
export interface LiveUse {
  /** Of the meter. */
  readonly id: string;
  readonly used: bigint;
  readonly reserved: bigint;
}

/** Where the periods of now begin, of all the budgets; in ms since the Unix epoch. */
export function currentStarts(rules: readonly BudgetRule[], now: number): ReadonlySet<number> {
  const kinds = new Map(rules.map((rule) => [`${rule.per} ${rule.timezone}`, rule]));
  return new Set([...kinds.values()].map(({ per, timezone }) => periodAt(now, per, timezone).start));
}

/** What counts for the same rule, by the name of what counts for it where everybody counts together. */
export function byRule<T>(all: Iterable<T>, idOf: (each: T) => string): ReadonlyMap<string, readonly T[]> {
  const found = new Map<string, T[]>();
  for (const each of all) {
    const whole = idOf(each).split('|', 1)[0] ?? '';
    const list = found.get(whole);
    if (list === undefined) found.set(whole, [each]);
    else list.push(each);
  }
  return found;
}

/** What is known of what budgets paid, each by its rule. */
export interface KnownUses {
  readonly uses: ReadonlyMap<string, readonly BudgetUse[]>;
  readonly live: ReadonlyMap<string, readonly LiveUse[]>;
}

/** @param live What this process knows better. */
export function knownUses(uses: readonly BudgetUse[], live: Iterable<LiveUse> = []): KnownUses {
  return { uses: byRule(uses, ({ budget }) => budget), live: byRule(live, ({ id }) => id) };
}

const dayMs = 86_400_000;

/** A budget with what was used of it, by everybody that it counts for, as it is shown outside. */
export function publicBudget(rule: BudgetRule, known: KnownUses, now: number) {
  const { start, end } = periodAt(now, rule.per, rule.timezone);
  const whole = meterIdOf('budgets', rule);
  const used = new Map<string, LiveUse>();
  for (const use of known.uses.get(whole) ?? []) {
    if (use.start === start) used.set(use.budget, { id: use.budget, used: use.used, reserved: 0n });
  }
  for (const live of known.live.get(whole) ?? []) used.set(live.id, live);
  const isShared =
    !Object.values(rule.for).includes('*') && (rule.for.principal === undefined || rule.for.tenant !== undefined);
  if (isShared && used.size === 0) used.set(whole, { id: whole, used: 0n, reserved: 0n });
  return {
    name: rule.name,
    source: rule.source,
    for: rule.for,
    usd: rule.usd,
    per: rule.per,
    timezone: rule.timezone,
    alerts: rule.alerts,
    period_start: start === 0 ? null : new Date(start).toISOString(),
    resets_at: shownTime(end),
    uses: [...used.values()].map((use) => publicUse({ rule, ...use }, { start, end }, now)),
  };
}

function publicUse(
  { rule, id, used, reserved }: LiveUse & { readonly rule: BudgetRule; readonly id: string },
  { start, end }: { readonly start: number; readonly end: number },
  now: number,
) {
  const limit = picosOfBudget(rule.usd);
  const left = limit - used - reserved;
  // What is spent in total has no beginning to measure from.
  const rate = start === 0 ? null : Number(used) / Math.max(1, now - start);
  const spentAt = rate === null || rate === 0 ? null : now + Number(limit - used) / rate;
  return {
    for: subjectOf(id, rule.for),
    used_usd: usdText(used),
    reserved_usd: usdText(reserved),
    left_usd: usdText(left > 0n ? left : 0n),
    usd_per_day: rate === null ? null : usdOf(Math.round(rate * dayMs)),
    /** When it will be spent at this rate; `null` where it begins anew before. */
    spent_at:
      used >= limit ? new Date(now).toISOString() : spentAt === null || spentAt >= end ? null : shownTime(spentAt),
  };
}

function shownTime(time: number): string | null {
  return Number.isFinite(time) && time < 8.64e15 ? new Date(time).toISOString() : null;
}
