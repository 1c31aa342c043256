import { subjectOf } from '../../core/budget-report.ts';
import { usdText } from '../../core/money.ts';
import type { BudgetMeter } from './meter.ts';

/** A budget has reached one of the shares at which somebody wants to know. */
export interface BudgetAlert {
  readonly event: 'budget.alert';
  readonly budget: string;
  readonly for: object;
  /** The share that was reached, and no higher one was. */
  readonly percent: number;
  /** All digits. */
  readonly used_usd: string;
  readonly usd: number;
  readonly per: string;
  readonly resets_at: string | null;
  readonly time: string;
}

/** What is to be told of a budget that has just paid; `null` where nothing is. Each share is told once a period. */
export function alertOf(meter: BudgetMeter, now: number): BudgetAlert | null {
  const percent = meter.reached(now);
  if (percent <= meter.told) return null;
  meter.told = percent;
  const { rule } = meter;
  const { end } = meter.period(now);
  return {
    event: 'budget.alert',
    budget: rule.name,
    for: subjectOf(meter.id, rule.for),
    percent,
    used_usd: usdText(meter.used(now) + meter.others(now)),
    usd: rule.usd,
    per: rule.per,
    resets_at: Number.isFinite(end) ? new Date(end).toISOString() : null,
    time: new Date(now).toISOString(),
  };
}
