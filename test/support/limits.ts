import { onTestFinished } from 'vitest';
import type { Clock } from '../../src/core/clock.ts';
import type { BudgetRule, LimitRule } from '../../src/core/limit.ts';
import { usualAlerts } from '../../src/core/limit.ts';
import type { LimiterEvents, LimiterParts } from '../../src/flow/limits/limiter.ts';
import type { QueueSettings } from '../../src/flow/limits/queue.ts';
import { Limiter } from '../../src/flow/limits/limiter.ts';
import type { Store } from '../../src/store/sqlite/index.ts';
import { openStore } from '../../src/store/sqlite/index.ts';
import { temporaryFolder } from './folder.ts';

const silentLimits: LimiterEvents = { refused() {}, paid() {}, waited() {} };

/** A limit of the configuration. */
export function limitRule(over: Partial<LimitRule> = {}): LimitRule {
  return { name: 'limit', source: 'config', for: {}, rpm: null, tpm: null, maxInFlight: null, ...over };
}

/** A budget of the configuration, of ten dollars for ever. */
export function budgetRule(over: Partial<BudgetRule> = {}): BudgetRule {
  return {
    name: 'budget',
    source: 'config',
    for: {},
    usd: 10,
    per: 'total',
    timezone: 'UTC',
    alerts: usualAlerts,
    ...over,
  };
}

/** A store of the test's own. */
export async function limitStore(): Promise<Store> {
  const store = await openStore(temporaryFolder());
  onTestFinished(() => store.close());
  return store;
}

/** A limiter over a real store. */
export function limiterOver(
  store: Store,
  clock: Clock,
  rules: { readonly limits?: readonly LimitRule[]; readonly budgets?: readonly BudgetRule[] },
  more: Partial<LimiterParts> & { readonly queue?: QueueSettings } = {},
): Limiter {
  const { limits = [], budgets = [] } = rules;
  const { queue = null, ...parts } = more;
  return new Limiter(
    { limits, budgets, assumedOutputTokens: 4096, machines: 1, queue },
    { rules: store.limitRules, ledger: store.ledger, clock, events: silentLimits, shared: null, ...parts },
  );
}
