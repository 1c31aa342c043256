import { describe, expect, test } from 'vitest';
import { servedOf } from '../../../test/support/calls.ts';
import { ScriptedProvider } from '../../../test/support/scripted-provider.ts';
import type { HedgeSettings } from './served.ts';
import { estimatedCost } from './served.ts';

const sim = new ScriptedProvider('sim');
const hedging = (hedge: HedgeSettings | null) => servedOf([sim.instance()], { policy: { hedge } });

describe('a second instance is asked', () => {
  test('never, where the model doesn’t want it', () => {
    const served = hedging(null);
    for (let i = 0; i < 50; i++) served.answeredAfter(100, 'stream');
    expect(served.hedgeAfterMs('stream')).toBe(null);
    expect(served.hedges.spend()).toBe(false);
  });

  test('after the time that is configured', () => {
    expect(hedging({ afterMs: 250, maxShare: 0.1 }).hedgeAfterMs('stream')).toBe(250);
  });

  test('else after the 95th percentile of its own times, once twenty are known', () => {
    const served = hedging({ afterMs: null, maxShare: 0.1 });
    for (let i = 1; i <= 19; i++) served.answeredAfter(i * 10, 'stream');
    expect(served.hedgeAfterMs('stream')).toBe(null);
    served.answeredAfter(200, 'stream');
    expect(served.hedgeAfterMs('stream')).toBe(200);
    for (let i = 21; i <= 100; i++) served.answeredAfter(i * 10, 'stream');
    expect(served.hedgeAfterMs('stream')).toBe(960);
  });

  test('by the last two hundred times: what was long ago is forgotten', () => {
    const served = hedging({ afterMs: null, maxShare: 0.1 });
    for (let i = 0; i < 200; i++) served.answeredAfter(5000, 'stream');
    for (let i = 0; i < 200; i++) served.answeredAfter(9 + (i % 2), 'stream');
    expect(served.hedgeAfterMs('stream')).toBe(10);
  });

  test('not, where its share is 0', () => {
    const served = hedging({ afterMs: 1, maxShare: 0 });
    for (let i = 0; i < 1000; i++) served.hedges.earn();
    expect(served.hedges.spend()).toBe(false);
  });
});

describe('retries', () => {
  test('are a share of the requests, and a few more at first', () => {
    const served = servedOf([sim.instance()], { policy: { retryRatio: 0.5 } });
    let spent = 0;
    for (let i = 0; i < 100; i++) {
      served.retries.earn();
      while (served.retries.spend()) spent++;
    }
    expect(spent).toBe(20 + 50);
  });

  test('are not saved up for ever', () => {
    const served = servedOf([sim.instance()], { policy: { retryRatio: 1 } });
    for (let i = 0; i < 10_000; i++) served.retries.earn();
    let spent = 0;
    while (served.retries.spend()) spent++;
    expect(spent).toBe(100);
  });
});

test('what a request may cost is known where the price is', () => {
  const [priced, unpriced] = servedOf([
    sim.instance({ id: 'a', price: { input: 1, output: 2 } }),
    sim.instance({ id: 'b' }),
  ]).pool.model.instances;
  expect(estimatedCost(priced!, 1_000_000, 500_000)).toBe(2);
  expect(estimatedCost(unpriced!, 1_000_000, 500_000)).toBe(null);
});
