import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { principal } from '../../../test/support/calls.ts';
import { ManualClock } from '../../../test/support/clock.ts';
import { budgetRule, limiterOver, limitRule, limitStore } from '../../../test/support/limits.ts';
import { requestRecord } from '../../../test/support/records.ts';
import { ScriptedProvider } from '../../../test/support/scripted-provider.ts';
import { MizanError } from '../../core/errors.ts';
import { newRequestId } from '../../core/ids.ts';
import { picosOf, usdOf } from '../../core/money.ts';
import type { Usage } from '../../core/usage.ts';
import { priceOf, unknownUsage } from '../../core/usage.ts';
import type { Hold, SpendingOrder } from '../attempts/order.ts';
import type { Figures, Instance, Needs } from '../routing/model.ts';
import type { Account } from './account.ts';
import type { Asking, Limiter } from './limiter.ts';

const price = { input: 0.15, output: 0.6 };
const figures = {} as Figures;
const provider = new ScriptedProvider('up', () => {});
const instance: Instance = { ...provider.instance({ price }), figures };

function orderOf(inputTokens: number, maxOutputTokens: number | null, over: Partial<Instance> = {}): SpendingOrder {
  const needs = { inputTokens, maxOutputTokens, images: 0, choices: 1 } as Needs;
  return { model: 'fast', instance: { ...instance, ...over }, needs, written: 0 };
}

function usageOf(inputTokens: number, outputTokens: number): Usage {
  const counts = { inputTokens, outputTokens, cachedInputTokens: null, reasoningTokens: null };
  return { ...counts, costUsd: priceOf(counts, price), source: 'upstream' };
}

const asking = { principal, agent: null, model: 'fast' };

/** At once, as where there is one machine. */
function admit(limiter: Limiter, by: Asking = asking): Account {
  return limiter.admit(by) as Account;
}

function refusalOf(work: () => unknown): MizanError | null {
  try {
    work();
    return null;
  } catch (error) {
    if (error instanceof MizanError) return error;
    throw error;
  }
}

const steps = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constant('reserve' as const),
      input: fc.integer({ min: 0, max: 4000 }),
      output: fc.integer({ min: 1, max: 4000 }),
    }),
    fc.record({
      do: fc.constantFrom('settle' as const, 'fail' as const, 'abort' as const, 'forget' as const),
      which: fc.nat(50),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  ),
  { maxLength: 30 },
);

describe('whatever is reserved, settled, failed, aborted and forgotten, in whatever order', () => {
  test('use is never negative, never over the limit, and ends as the sum of what was settled', async () => {
    const store = await limitStore();
    let round = 0;
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 8000 }), (sequence, size) => {
        const usd = size / 1e6;
        const name = `b${round++}`;
        const budgets = [
          budgetRule({ name, usd }),
          budgetRule({ name: `${name}-each`, usd: usd * 2, for: { tenant: '*' } }),
        ];
        const limiter = limiterOver(store, new ManualClock(), { budgets, limits: [limitRule({ tpm: 20_000 })] });
        const account = admit(limiter);
        const open: { readonly hold: Hold; readonly input: number; readonly output: number }[] = [];
        let settled = 0n;
        for (const step of sequence) {
          if (step.do === 'reserve') {
            const { input, output } = step;
            refusalOf(() => open.push({ hold: account.reserve(orderOf(input, output)) as Hold, input, output }));
          } else {
            const [held] = open.splice(step.which % Math.max(1, open.length), 1);
            if (held === undefined || step.do === 'forget') {
              if (held !== undefined) open.push(held);
              continue;
            }
            const part = step.do === 'settle' ? held.output : Math.floor(held.output * step.share);
            const usage = step.do === 'fail' ? unknownUsage : usageOf(held.input, part);
            held.hold.settle(usage);
            held.hold.settle(usage);
            settled += BigInt(picosOf(usage.costUsd ?? 0));
          }
          for (const meter of limiter.meters.budgets) {
            expect(meter.reserved >= 0n && meter.used(0) >= 0n).toBe(true);
            expect(meter.used(0) + meter.reserved <= meter.limit).toBe(true);
          }
          for (const meter of limiter.meters.limits) {
            expect(meter.tokens!.used(0)).toBeGreaterThanOrEqual(0);
            expect(meter.tokens!.used(0)).toBeLessThanOrEqual(20_000);
          }
        }
        const charges = account.close();
        expect(charges.reduce((sum, { cost }) => sum + BigInt(cost), 0n)).toBe(settled);
        for (const meter of limiter.meters.budgets) expect([meter.reserved, meter.used(0)]).toEqual([0n, settled]);
      }),
      { numRuns: 10_000 },
    );
  });
});

describe('a budget', () => {
  test('begins anew with its period, and what was promised before is not paid by the next one', async () => {
    const store = await limitStore();
    const clock = new ManualClock(Date.UTC(2026, 0, 31, 23, 59));
    const limiter = limiterOver(store, clock, { budgets: [budgetRule({ usd: 0.002, per: 'month' })] });
    const first = admit(limiter);
    const hold = first.reserve(orderOf(0, 3000)) as Hold;
    const refusal = refusalOf(() => first.reserve(orderOf(0, 3000)));
    expect(refusal?.code).toBe('budget_spent');
    expect(refusal?.message).toContain('It begins anew at 2026-02-01T00:00:00.000Z.');
    clock.advance(120_000);
    hold.settle(usageOf(0, 3000));
    const [charge] = first.close();
    expect(charge?.budgets).toEqual([['budgets/budget', Date.UTC(2026, 0, 1)]]);
    const second = admit(limiter);
    expect(refusalOf(() => second.reserve(orderOf(0, 3000)))).toBeNull();
  });

  test('goes on after a restart with what the ledger has', async () => {
    const store = await limitStore();
    const clock = new ManualClock();
    const rules = { budgets: [budgetRule({ usd: 0.002 })] };
    const before = admit(limiterOver(store, clock, rules));
    (before.reserve(orderOf(0, 3000)) as Hold).settle(usageOf(0, 3000));
    // Reserved and never settled: the process ends here.
    await Promise.resolve();
    const charges = before.close();
    const record = requestRecord({ id: newRequestId(clock.now()), costUsd: usdOf(charges[0]!.cost), charges });
    await store.requestLog.append(record);
    await store.requestLog.append(record);
    const after = admit(limiterOver(store, clock, rules));
    expect(refusalOf(() => after.reserve(orderOf(0, 3000)))?.code).toBe('budget_spent');
    expect(refusalOf(() => after.reserve(orderOf(0, 300)))).toBeNull();
    expect(await store.ledger.check()).toMatchObject({ rows: 1, requests: 1, budgets: 1, faults: [] });
  });

  test('of an API key pays for no more than there is before any of it is in the ledger', async () => {
    const limiter = limiterOver(await limitStore(), new ManualClock(), {});
    const limits = { rpm: null, tpm: null, maxInFlight: null, budget: { usd: 0.0018, per: 'day' } } as const;
    let paid = 0;
    for (let i = 0; i < 10; i++) {
      // Keys are read anew whenever one was changed.
      const account = admit(limiter, {
        ...asking,
        principal: {
          ...principal,
          via: 'api-key',
          credential: 'k1',
          limits: { ...limits, budget: { ...limits.budget } },
        },
      });
      if (refusalOf(() => (account.reserve(orderOf(0, 1000)) as Hold).settle(usageOf(0, 1000))) === null) paid++;
      account.close();
    }
    expect(paid).toBe(3);
  });

  test('that is made smaller is spent by what it paid before', async () => {
    const store = await limitStore();
    const limiter = limiterOver(store, new ManualClock(), {});
    const pay = (): MizanError | null =>
      refusalOf(() => (admit(limiter).reserve(orderOf(0, 1000)) as Hold).settle(usageOf(0, 1000)));
    store.limitRules.putBudget(budgetRule({ source: 'api', usd: 0.0018 }), 1);
    expect([pay(), pay()]).toEqual([null, null]);
    store.limitRules.putBudget(budgetRule({ source: 'api', usd: 0.0012 }), 2);
    expect(pay()?.code).toBe('budget_spent');
  });

  test('holds what the model itself allows where the request says nothing', async () => {
    const store = await limitStore();
    const limiter = limiterOver(store, new ManualClock(), { budgets: [budgetRule({ usd: 1 })] });
    const held = (over: Partial<Instance>): bigint => {
      const account = admit(limiter);
      void account.reserve(orderOf(1000, null, over));
      const [meter] = limiter.meters.budgets;
      const { reserved } = meter!;
      account.close();
      return reserved;
    };
    const input = 1000n * 150_000n;
    expect(held({})).toBe(input + 4096n * 600_000n);
    expect(held({ maxOutputTokens: 100 })).toBe(input + 100n * 600_000n);
    expect(held({ contextLength: 9000 })).toBe(input + 8000n * 600_000n);
    expect(held({ contextLength: 9000, maxOutputTokens: 100_000 })).toBe(input + 8000n * 600_000n);
    expect(held({ price: { ...price, reasoning: 2 } })).toBe(input + 4096n * 2_000_000n);
  });
});

describe('whom a rule is for', () => {
  test.each([
    ['everybody', {}, true],
    ['a tenant', { tenant: 'acme' }, true],
    ['another tenant', { tenant: 'other' }, false],
    ['each tenant', { tenant: '*' }, true],
    ['a principal and a model', { principal: 'someone', model: 'fast' }, true],
    ['a principal and another model', { principal: 'someone', model: 'slow' }, false],
    ['each agent, where there is none', { agent: '*' }, false],
    ['each key, where a token asks', { key: '*' }, false],
  ])('%s', async (_what, target, isFor) => {
    const limiter = limiterOver(await limitStore(), new ManualClock(), {
      limits: [limitRule({ for: target, rpm: 1 })],
    });
    expect(admit(limiter)?.refusal ?? null).toBeNull();
    expect((admit(limiter)?.refusal ?? null) !== null).toBe(isFor);
  });

  test('each counts for itself; a principal of the same name in another tenant is somebody else', async () => {
    const limits = [limitRule({ name: 'each', for: { principal: 'someone' }, rpm: 1 })];
    const limiter = limiterOver(await limitStore(), new ManualClock(), { limits });
    const other = { ...asking, principal: { ...principal, tenant: 'other' } };
    expect(admit(limiter)?.refusal).toBeNull();
    expect(admit(limiter, other)?.refusal).toBeNull();
    expect(admit(limiter)?.refusal?.code).toBe('rate_limited');
  });

  test('of several that are hit, the narrowest answers, and none of them counts', async () => {
    const limits = [
      limitRule({ name: 'all', rpm: 1 }),
      limitRule({ name: 'tenant', for: { tenant: 'acme' }, rpm: 1 }),
      limitRule({ name: 'person', for: { principal: 'someone' }, rpm: 1 }),
      limitRule({ name: 'wide', maxInFlight: 100 }),
    ];
    const limiter = limiterOver(await limitStore(), new ManualClock(), { limits });
    const first = admit(limiter);
    expect(admit(limiter)?.refusal?.message).toContain('"person"');
    const wide = [...limiter.meters.limits].find(({ id }) => id === 'limits/wide');
    expect(wide?.inFlight).toBe(1);
    first?.close();
    first?.close();
    expect(wide?.inFlight).toBe(0);
  });

  test('nobody: then there is no account, and nothing is counted', async () => {
    expect(admit(limiterOver(await limitStore(), new ManualClock(), {}))).toBeNull();
  });
});

describe('a request that is refused by one limit', () => {
  test('counts for none, seconds later too', async () => {
    const clock = new ManualClock();
    const limits = [limitRule({ rpm: 2, maxInFlight: 1 }), limitRule({ name: 'tokens', tpm: 100 })];
    const limiter = limiterOver(await limitStore(), clock, { limits });
    const spend = (account: Account, tokens: number): void => {
      (account.reserve(orderOf(tokens, 1)) as Hold).settle(usageOf(tokens, 0));
      account.close();
    };
    spend(admit(limiter), 90);
    for (let i = 0; i < 3; i++) {
      const account = admit(limiter);
      expect(account.refusal).toBeNull();
      clock.advance(3000);
      expect(refusalOf(() => account.reserve(orderOf(20, 1)))?.code).toBe('rate_limited');
      account.close();
      expect(account.quota()).toMatchObject({
        requests: { limit: 2, remaining: 1 },
        tokens: { limit: 100, remaining: 10 },
      });
    }
    spend(admit(limiter), 5);
    expect(admit(limiter).refusal?.code).toBe('rate_limited');
    for (const { inFlight } of limiter.meters.limits) expect(inFlight).toBe(0);
  });

  test('where it could be made after waiting or by another try counts as any other', async () => {
    const limits = [limitRule({ rpm: 2, tpm: 100 })];
    const limiter = limiterOver(await limitStore(), new ManualClock(), { limits });
    const account = admit(limiter);
    expect(refusalOf(() => account.reserve(orderOf(100, 1)))?.code).toBe('larger_than_limit');
    (account.reserve(orderOf(10, 1)) as Hold).settle(usageOf(10, 0));
    account.close();
    expect(account.quota()).toMatchObject({ requests: { remaining: 1 }, tokens: { remaining: 90 } });
  });
});

test('of more people than are kept without a look, the busy ones stay counted and the others come as new', async () => {
  const clock = new ManualClock();
  const limits = [limitRule({ for: { principal: '*' }, maxInFlight: 1 })];
  const limiter = limiterOver(await limitStore(), clock, { limits });
  const comes = (subject: string): Account => admit(limiter, { ...asking, principal: { ...principal, subject } });
  const busy = Array.from({ length: 100 }, (_, i) => comes(`busy ${i}`));
  for (let i = 0; i < 55_000; i++) comes(`${i}`).close();
  expect([...limiter.meters.limits].length).toBeLessThan(50_100);
  for (let i = 0; i < 100; i++) expect(comes(`busy ${i}`).refusal?.code).toBe('concurrency_limited');
  for (const account of busy) account.close();
  const again = comes('7');
  expect([again.refusal, comes('7').refusal?.code]).toEqual([null, 'concurrency_limited']);
  // By a meter that is looked at, as all others.
  const seven = [...limiter.meters.limits].find(({ id }) => id.includes('|principal=7|'));
  expect(seven?.inFlight).toBe(1);
});
