import { systemClock } from '../../src/core/clock.ts';
import type { BudgetRule, Ledger, LimitRule, LimitRules } from '../../src/core/limit.ts';
import type { Principal } from '../../src/core/principal.ts';
import { tokensIn } from '../../src/core/tokens.ts';
import type { Hold } from '../../src/flow/attempts/order.ts';
import type { Account } from '../../src/flow/limits/account.ts';
import { Limiter } from '../../src/flow/limits/limiter.ts';
import type { QueueSettings } from '../../src/flow/limits/queue.ts';
import type { Figures, Instance, Needs } from '../../src/flow/routing/model.ts';
import { plainInstance } from '../../src/flow/routing/models.ts';
import type { Provider } from '../../src/core/upstream.ts';
import type { Micro } from './harness.ts';

const rules: LimitRules = {
  version: 1,
  limits: () => [],
  budgets: () => [],
  putLimit() {},
  putBudget() {},
  remove: () => false,
};
const ledger: Ledger = {
  used: () => 0n,
  paidByAll: () => 0n,
  uses: async () => [],
  check: async () => ({ rows: 0, requests: 0, budgets: 0, sum: 0n, faults: [] }),
};
const most = 1_000_000_000;
const limitOf = (name: string, target: LimitRule['for']): LimitRule => ({
  name,
  source: 'config',
  for: target,
  rpm: most,
  tpm: most,
  maxInFlight: most,
});
const budgetOf = (name: string, target: BudgetRule['for']): BudgetRule => ({
  name,
  source: 'config',
  for: target,
  usd: 1_000_000,
  per: 'month',
  timezone: 'Asia/Riyadh',
  alerts: [50, 80, 100],
});

const principal: Principal = {
  subject: 'someone',
  tenant: 'acme',
  role: 'member',
  agents: null,
  models: null,
  scope: 'own',
  via: 'jwt',
  credential: null,
};

/** A thousand other tenants have limits too. */
const others = Array.from({ length: 1000 }, (_, i) => `tenant-${i}`);

function limiter(
  limits: readonly LimitRule[],
  budgets: readonly BudgetRule[],
  queue: QueueSettings | null = null,
): Limiter {
  const events = { refused() {}, paid() {}, waited() {} };
  return new Limiter(
    { limits, budgets, assumedOutputTokens: 4096, machines: 1, queue },
    { rules, ledger, clock: systemClock, events, shared: null },
  );
}

const free = limiter([], []);
const many = [
  [
    limitOf('each', { tenant: '*' }),
    limitOf('person', { principal: 'someone' }),
    ...others.map((tenant) => limitOf(tenant, { tenant })),
  ],
  [
    budgetOf('tenant', { tenant: 'acme' }),
    budgetOf('person', { principal: '*' }),
    ...others.map((tenant) => budgetOf(tenant, { tenant })),
  ],
] as const;
const full = limiter(...many);
const queued = limiter(...many, { waitMs: 1000, max: 1000, maxPerTenant: 200, weights: { acme: 2 } });
const requestsOnly = limiter([{ ...limitOf('each', { tenant: '*' }), tpm: null }], []);

const instance: Instance = {
  ...plainInstance,
  id: 'a',
  provider: { name: 'up' } as Provider,
  upstreamModel: 'm',
  price: { input: 0.15, output: 0.6 },
  figures: {} as Figures,
};
const needs = { inputTokens: 300, maxOutputTokens: 200, images: 0, choices: 1 } as Needs;
const usage = {
  inputTokens: 290,
  outputTokens: 120,
  cachedInputTokens: null,
  reasoningTokens: null,
  costUsd: 0.000_115_5,
  source: 'upstream',
} as const;

const { signal } = new AbortController();

/** Everything that one request with one attempt goes through. */
function request(through: Limiter): unknown {
  const account = through.admit({ principal, agent: 'assistant', model: 'fast', signal }) as Account | null;
  if (account === null) return null;
  const hold = account.reserve({ model: 'fast', instance, needs, written: 0 }) as Hold | null;
  hold?.settle(usage);
  account.quota();
  return account.close();
}

/** More people at once than meters are kept without a look, each with a request in flight. */
let crowd: Limiter | null = null;
let newcomers = 0;

function newcomer(): unknown {
  if (crowd === null) {
    crowd = limiter([{ ...limitOf('each', { principal: '*', tenant: 'acme' }), rpm: null, tpm: null }], []);
    for (let i = 0; i < 60_000; i++) comes(crowd, `busy ${i}`);
  }
  const account = comes(crowd, `new ${newcomers++}`);
  return account?.close();
}

function comes(through: Limiter, subject: string): Account | null {
  return through.admit({ principal: { ...principal, subject }, agent: null, model: 'fast' }) as Account | null;
}

const kilobyte = 'The budget of a team is a promise. '.repeat(30).slice(0, 1024);

export const limits: readonly Micro[] = [
  { name: 'limits: none', run: () => request(free) },
  { name: 'limits: requests per minute and in flight', run: () => request(requestsOnly) },
  { name: 'limits: two limits of all kinds and two budgets, among 2,000 others', run: () => request(full) },
  { name: 'limits: the same, with a queue for when they are full', run: () => request(queued) },
  { name: 'limits: somebody new, beside 60,000 who are busy', run: newcomer },
  { name: 'tokensIn, 1 KB', run: () => tokensIn(kilobyte) },
];
