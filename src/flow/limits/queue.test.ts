import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { principal } from '../../../test/support/calls.ts';
import { TimersClock } from '../../../test/support/clock.ts';
import { budgetRule, limiterOver, limitRule, limitStore } from '../../../test/support/limits.ts';
import { ScriptedProvider } from '../../../test/support/scripted-provider.ts';
import type { BudgetRule, LimitRule, SharedCounters } from '../../core/limit.ts';
import type { Priority } from '../../core/priority.ts';
import { unknownUsage } from '../../core/usage.ts';
import type { SpendingOrder } from '../attempts/order.ts';
import type { Figures, Instance, Needs } from '../routing/model.ts';
import type { Account } from './account.ts';
import type { Limiter } from './limiter.ts';
import type { QueueSettings, WaitEnd } from './queue.ts';

const settings: QueueSettings = { waitMs: 5000, max: 100, maxPerTenant: 50, weights: {} };

interface World {
  readonly limits?: readonly LimitRule[];
  readonly budgets?: readonly BudgetRule[];
  readonly queue?: Partial<QueueSettings>;
  readonly shared?: SharedCounters;
}

/** A limiter with a queue, and everything that was told of it. */
async function worldOf({ limits = [limitRule({ maxInFlight: 1 })], budgets = [], queue, shared }: World = {}) {
  const store = await limitStore();
  const waits: [Priority, WaitEnd, number][] = [];
  const refusals: string[] = [];
  const limiter = limiterOver(
    store,
    new TimersClock(),
    { limits, budgets },
    {
      queue: { ...settings, ...queue },
      shared: shared ?? null,
      events: {
        refused: ({ name }) => refusals.push(name),
        paid() {},
        waited: (priority, end, ms) => waits.push([priority, end, Math.round(ms)]),
      },
    },
  );
  return { limiter, store, waits, refusals };
}

interface Caller {
  readonly account: Promise<Account>;
  readonly leave: () => void;
}

function ask(limiter: Limiter, tenant = 'a', priority: Priority = 'normal', model = 'fast'): Caller {
  const controller = new AbortController();
  const asking = { principal: { ...principal, tenant, priority }, agent: null, model, signal: controller.signal };
  const admitted = limiter.admit(asking);
  if (admitted === null) throw new Error('Nothing limits it.');
  return { account: Promise.resolve(admitted), leave: () => controller.abort() };
}

/** Who is let in, in their order; each is done at once. */
function noting(callers: readonly (Caller & { readonly name: string })[]): string[] {
  const admitted: string[] = [];
  for (const { account, name } of callers) {
    void account.then((opened) => {
      if (opened.refusal === null) admitted.push(name);
      opened.close();
    });
  }
  return admitted;
}

const provider = new ScriptedProvider('up', () => {});
const price = { input: 1, output: 1 };
const instance: Instance = { ...provider.instance({ price }), figures: {} as Figures };
const orderOf = (tokens: number, model = 'fast'): SpendingOrder => ({
  model,
  instance,
  needs: { inputTokens: 0, maxOutputTokens: tokens, images: 0, choices: 1 } as Needs,
  written: 0,
});

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('where a limit is full and waiting is allowed', () => {
  test('a request waits for room instead of being refused, and says for how long', async () => {
    const { limiter, waits, refusals } = await worldOf();
    const first = await ask(limiter).account;
    const second = ask(limiter);
    await vi.advanceTimersByTimeAsync(700);
    expect(limiter.queue?.size).toBe(1);
    first.close();
    const account = await second.account;
    expect(account.refusal).toBeNull();
    expect(Math.round(account.waitedMs)).toBe(700);
    expect(waits).toEqual([['normal', 'admitted', 700]]);
    expect(refusals).toEqual([]);
    expect(limiter.queue?.size).toBe(0);
    expect([...limiter.meters.limits].map(({ inFlight }) => inFlight)).toEqual([1]);
    account.close();
    expect([...limiter.meters.limits].map(({ inFlight }) => inFlight)).toEqual([0]);
  });

  test('it is refused as it would have been, when its time is over and not before', async () => {
    const { limiter, waits, refusals } = await worldOf();
    const first = await ask(limiter).account;
    const second = ask(limiter);
    await vi.advanceTimersByTimeAsync(4999);
    expect(waits).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    const { refusal } = await second.account;
    expect(refusal).toMatchObject({ code: 'concurrency_limited', status: 429 });
    expect(refusal?.message).toMatch(/It waited 5000 ms for room\.$/);
    expect(waits).toEqual([['normal', 'late', 5000]]);
    expect(refusals).toEqual(['limit']);
    first.close();
    expect([...limiter.meters.limits].map(({ inFlight }) => inFlight)).toEqual([0]);
  });

  test('whoever leaves frees its place at once', async () => {
    const { limiter, waits } = await worldOf({ queue: { max: 1 } });
    const first = await ask(limiter).account;
    const second = ask(limiter);
    second.leave();
    expect(limiter.queue?.size).toBe(0);
    const third = ask(limiter);
    expect(limiter.queue?.size).toBe(1);
    expect((await second.account).refusal).toMatchObject({ code: 'client_closed' });
    first.close();
    expect((await third.account).refusal).toBeNull();
    expect(waits.map(([, end]) => end)).toEqual(['left', 'admitted']);
  });

  test('nobody who comes later overtakes, however room came about', async () => {
    const { limiter } = await worldOf({ limits: [limitRule({ rpm: 1 })] });
    await ask(limiter).account;
    await vi.advanceTimersByTimeAsync(58_000);
    const early = { ...ask(limiter), name: 'early' };
    // There is room by now, and nobody has looked yet.
    vi.setSystemTime(Date.now() + 5000);
    const admitted = noting([early, { ...ask(limiter, 'b'), name: 'late' }]);
    await vi.advanceTimersByTimeAsync(5000);
    expect(admitted).toEqual(['early']);
  });

  test('room in requests per minute comes with time alone, and what can not come in time is refused at once', async () => {
    const { limiter, refusals } = await worldOf({ limits: [limitRule({ rpm: 2 })] });
    for (let i = 0; i < 2; i++) (await ask(limiter).account).close();
    expect((await ask(limiter).account).refusal).toMatchObject({ code: 'rate_limited' });
    expect(refusals).toEqual(['limit']);
    await vi.advanceTimersByTimeAsync(57_000);
    const waiting = [ask(limiter), ask(limiter)];
    expect(limiter.queue?.size).toBe(2);
    await vi.advanceTimersByTimeAsync(5000);
    for (const { account } of waiting) expect((await account).refusal).toBeNull();
  });

  test('money is not waited for, nor what never fits', async () => {
    const { limiter } = await worldOf({
      limits: [limitRule({ tpm: 100 })],
      budgets: [budgetRule({ name: 'small', usd: 0.000_05 })],
    });
    const account = await ask(limiter).account;
    await expect(async () => account.reserve(orderOf(60))).rejects.toMatchObject({ code: 'budget_spent' });
    expect(await account.awaitRoom(orderOf(60))).toBe(false);
    await expect(async () => account.reserve(orderOf(101))).rejects.toMatchObject({ code: 'larger_than_limit' });
    expect(await account.awaitRoom(orderOf(101))).toBe(false);
    expect(limiter.queue?.size).toBe(0);
  });

  test('who needs nothing that others wait for passes them', async () => {
    const { limiter } = await worldOf({
      limits: [
        limitRule({ name: 'a', for: { tenant: 'a' }, maxInFlight: 1 }),
        limitRule({ name: 'all', maxInFlight: 3 }),
      ],
    });
    const first = await ask(limiter).account;
    const second = ask(limiter);
    const other = await ask(limiter, 'b').account;
    expect(other.refusal).toBeNull();
    await ask(limiter, 'b').account;
    // Now the first has room in its own limit, and none in everybody's.
    const third = ask(limiter, 'b');
    first.close();
    expect(limiter.queue?.size).toBe(1);
    expect((await third.account).waitedMs).toBe(0);
    other.close();
    expect((await second.account).refusal).toBeNull();
  });

  test('a limit that is raised lets in who waits, within a second', async () => {
    const { limiter, store } = await worldOf({ limits: [] });
    const rule = limitRule({ name: 'made', source: 'api', maxInFlight: 1 });
    store.limitRules.putLimit(rule, 0);
    await ask(limiter).account;
    const second = ask(limiter);
    store.limitRules.putLimit({ ...rule, maxInFlight: 2 }, 1);
    await vi.advanceTimersByTimeAsync(1000);
    expect((await second.account).refusal).toBeNull();
  });
});

describe('tokens', () => {
  test('are waited for by the first attempt, kept for it, and given back where it is never made', async () => {
    const { limiter } = await worldOf({ limits: [limitRule({ tpm: 100 })] });
    const tokens = (): number[] =>
      [...limiter.meters.limits].map((meter) => meter.tokens?.used(performance.now()) ?? 0);
    const [one, two, three] = [await ask(limiter).account, await ask(limiter).account, await ask(limiter).account];
    const hold = await one.reserve(orderOf(80));
    await vi.advanceTimersByTimeAsync(56_000);
    for (const later of [two, three]) await expect(async () => later.reserve(orderOf(60))).rejects.toThrow('limit');
    const waiting = [two.awaitRoom(orderOf(60)), three.awaitRoom(orderOf(60))];
    expect(limiter.queue?.size).toBe(2);
    await vi.advanceTimersByTimeAsync(1000);
    hold?.settle(unknownUsage);
    expect(await waiting[0]).toBe(true);
    expect(tokens()).toEqual([60]);
    const held = await two.reserve(orderOf(60));
    expect(tokens()).toEqual([60]);
    held?.settle({ ...unknownUsage, inputTokens: 5, outputTokens: 5, source: 'upstream' });
    expect(await waiting[1]).toBe(true);
    expect(tokens()).toEqual([70]);
    three.close();
    expect(tokens()).toEqual([10]);
  });

  test('that others wait for are not taken by who comes later', async () => {
    const { limiter } = await worldOf({ limits: [limitRule({ tpm: 100 })] });
    const [one, two, three] = [await ask(limiter).account, await ask(limiter).account, await ask(limiter).account];
    await one.reserve(orderOf(80));
    await vi.advanceTimersByTimeAsync(58_000);
    await expect(async () => two.reserve(orderOf(60))).rejects.toThrow('limit');
    void two.awaitRoom(orderOf(60));
    await expect(async () => three.reserve(orderOf(10))).rejects.toThrow('limit');
  });
});

describe('the queue', () => {
  test('is bounded: per tenant, and in all; a burst has its own to blame', async () => {
    const { limiter, waits } = await worldOf({ queue: { max: 6, maxPerTenant: 5 } });
    await ask(limiter).account;
    const burst = Array.from({ length: 20 }, () => ask(limiter, 'a'));
    expect(limiter.queue?.size).toBe(5);
    expect((await burst[5]!.account).refusal?.message).toMatch(/Too many wait for room already\.$/);
    ask(limiter, 'b');
    expect(limiter.queue?.size).toBe(6);
    // It is full: who comes of a small tenant takes the place of the last of the large one.
    ask(limiter, 'c');
    expect(limiter.queue?.size).toBe(6);
    expect((await burst[4]!.account).refusal).toMatchObject({ code: 'concurrency_limited' });
    expect(waits.filter(([, end]) => end === 'full').length).toBe(16);
    // And of the largest, a higher class that of a lower one.
    ask(limiter, 'a', 'high');
    expect((await burst[3]!.account).refusal).toMatchObject({ code: 'concurrency_limited' });
    expect([limiter.queue?.count('high'), limiter.queue?.count('normal')]).toEqual([1, 5]);
  });

  test('serves tenants by their weights however many each sends, and a tenant by its classes', async () => {
    const { limiter } = await worldOf({ queue: { weights: { b: 2 } } });
    const first = await ask(limiter).account;
    const callers = [
      ...Array.from({ length: 40 }, () => ({ ...ask(limiter, 'a'), name: 'a' })),
      ...Array.from({ length: 10 }, () => ({ ...ask(limiter, 'b', 'low'), name: 'b low' })),
      ...Array.from({ length: 10 }, () => ({ ...ask(limiter, 'b', 'high'), name: 'b high' })),
    ];
    const admitted = noting(callers);
    first.close();
    await vi.advanceTimersByTimeAsync(100);
    expect(admitted.length).toBe(60);
    const early = admitted.slice(0, 15);
    expect(early.filter((name) => name === 'a').length).toBe(5);
    expect(early.filter((name) => name === 'b high').length).toBeGreaterThanOrEqual(9);
  });

  const step = fc.oneof(
    fc.record({
      do: fc.constant('ask' as const),
      tenant: fc.constantFrom('a', 'b', 'c'),
      priority: fc.constantFrom<Priority>('low', 'normal', 'high'),
    }),
    fc.record({ do: fc.constant('leave' as const), which: fc.nat(30) }),
    fc.record({ do: fc.constant('end' as const), which: fc.nat(30) }),
    fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 3000 }) }),
  );

  test('whatever comes, leaves, ends and passes: no limit is exceeded, no room lies idle, nobody is forgotten', async () => {
    const limits = [
      limitRule({ name: 'all', maxInFlight: 3 }),
      limitRule({ name: 'each', for: { tenant: '*' }, maxInFlight: 2 }),
    ];
    const { limiter, waits } = await worldOf({ limits, queue: { max: 8, maxPerTenant: 4 } });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (sequence) => {
        let asked = 0;
        let answered = 0;
        const callers: Caller[] = [];
        const open: { readonly tenant: string; readonly account: Account }[] = [];
        for (const each of sequence) {
          if (each.do === 'ask') {
            asked++;
            const caller = ask(limiter, each.tenant, each.priority);
            callers.push(caller);
            void caller.account.then((account) => {
              answered++;
              if (account.refusal === null) open.push({ tenant: each.tenant, account });
              else account.close();
            });
          } else if (each.do === 'leave') callers[each.which % Math.max(1, callers.length)]?.leave();
          else if (each.do === 'end') open.splice(each.which % Math.max(1, open.length), 1)[0]?.account.close();
          else await vi.advanceTimersByTimeAsync(each.ms);
          await vi.advanceTimersByTimeAsync(0);
          const inFlight = [...limiter.meters.limits].map(({ id, inFlight: count }) => [id, count] as const);
          for (const [id, count] of inFlight) expect(count).toBeLessThanOrEqual(id === 'limits/all' ? 3 : 2);
          expect(new Map(inFlight).get('limits/all') ?? 0).toBe(open.length);
          expect(asked - answered).toBe(limiter.queue?.size);
          expect(limiter.queue?.size).toBeLessThanOrEqual(8);
        }
        await vi.advanceTimersByTimeAsync(5000);
        expect(limiter.queue?.size).toBe(0);
        expect(answered).toBe(asked);
        for (const { account } of open.splice(0)) account.close();
        expect([...limiter.meters.limits].every(({ inFlight }) => inFlight === 0)).toBe(true);
        expect(Math.max(0, ...waits.splice(0).map(([, , ms]) => ms))).toBeLessThanOrEqual(5000);
      }),
      { numRuns: 200 },
    );
  });
});
