import type { Clock } from '../../core/clock.ts';
import type { BudgetRule, LimitRule } from '../../core/limit.ts';
import { picosPerUsd } from '../../core/money.ts';
import type { LimitState, Metrics } from '../../telemetry/metrics.ts';
import type { BudgetAlert } from './alerts.ts';
import { alertOf } from './alerts.ts';
import type { Limiter, LimiterEvents } from './limiter.ts';

/** What limits without a place in the configuration are called in metrics, by where they come from. */
const labels = { api: '(api)', key: '(key)' } as const;

function labelOf({ source, name }: LimitRule | BudgetRule): string {
  return source === 'config' ? name : labels[source];
}

const kinds = { requests: 'requests', tokens: 'tokens', inFlight: 'in_flight', money: 'money' } as const;

/** Counts what the limiter tells, and passes on what somebody wants to know of budgets. */
export function limiterEvents(metrics: Metrics, clock: Clock, tell: (alert: BudgetAlert) => void): LimiterEvents {
  return {
    refused: (rule, kind) => metrics.limitRefused(labelOf(rule), kinds[kind]),
    paid(meter) {
      const alert = alertOf(meter, clock.now());
      if (alert !== null) tell(alert);
    },
    waited: (priority, end, waitedMs) => metrics.queue.waited(priority, end, waitedMs),
  };
}

/** How the limits and budgets of the configuration are doing; of each that counts for many, whoever uses most. */
export function limitStates(limiter: Limiter): Iterable<LimitState> {
  const states = new Map<string, LimitState>();
  const note = (state: LimitState): void => {
    const key = `${state.kind} ${state.name}`;
    if ((states.get(key)?.used ?? -1) < state.used) states.set(key, state);
  };
  const { limits, budgets } = limiter.rules;
  for (const rule of limits) if (rule.source === 'config') for (const state of unused(rule)) note(state);
  for (const { name, source, usd } of budgets) {
    if (source === 'config') note({ name, kind: 'money', limit: usd, used: 0 });
  }
  const monotonic = limiter.clock.monotonic();
  const now = limiter.clock.now();
  for (const { rule, requests, tokens, inFlight } of limiter.meters.limits) {
    if (rule.source !== 'config') continue;
    const used = {
      requests: requests?.used(monotonic) ?? 0,
      tokens: tokens?.used(monotonic) ?? 0,
      in_flight: inFlight,
    };
    for (const state of unused(rule)) note({ ...state, used: used[state.kind] });
  }
  for (const meter of limiter.meters.budgets) {
    const { name, source, usd } = meter.rule;
    if (source !== 'config') continue;
    note({
      name,
      kind: 'money',
      limit: usd,
      used: Number(meter.used(now) + meter.reserved + meter.others(now)) / picosPerUsd,
    });
  }
  return states.values();
}

function unused({
  name,
  rpm,
  tpm,
  maxInFlight,
}: LimitRule): (LimitState & { readonly kind: 'requests' | 'tokens' | 'in_flight' })[] {
  const sizes = [
    ['requests', rpm],
    ['tokens', tpm],
    ['in_flight', maxInFlight],
  ] as const;
  return sizes.flatMap(([kind, limit]) => (limit === null ? [] : [{ name, kind, limit, used: 0 }]));
}
