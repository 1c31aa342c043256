import { expect, test } from 'vitest';
import { requestRecord } from '../../test/support/records.ts';
import { firstIdAt, newRequestId } from '../core/ids.ts';
import type { Charge } from '../core/limit.ts';
import { usdOf } from '../core/money.ts';
import type { Store } from './index.ts';
import { oldPeriod } from './ledger.ts';

/** What both engines keep of the ledger. @param start 300 days ago. */
export function ledgerTests(storeOf: () => Store, start: number): void {
  test('keeps a ledger that adds up to the log, to the last digit, also when its rows have gone', async () => {
    const store = storeOf();
    let old = 0;
    const oldId = (): string => `${firstIdAt(start)}000000000000000${++old}`;
    const charge = (seq: number, cost: number, ...budgets: Charge['budgets']): Charge => ({
      seq,
      model: 'fast',
      cost,
      budgets,
    });
    const whole = ['budgets/all', 0] as const;
    const month = ['budgets/month|tenant=%D8%B3', start] as const;
    const hour = ['budgets/hour', start] as const;
    const paid = [
      { id: oldId(), charges: [charge(0, 1, whole), charge(1, 2_000_000_000_000_000, whole, month, hour)] },
      { id: oldId(), charges: [charge(0, 123_456_789_012, whole), charge(1, 5)] },
      { id: newRequestId(Date.now()), charges: [charge(0, 300_000_000_003, month)] },
    ];
    for (const { id, charges } of paid) {
      const costUsd = usdOf(charges.reduce((sum, { cost }) => sum + cost, 0));
      const record = requestRecord({ id, tenant: 'ledger', costUsd, charges });
      await Promise.all([store.requestLog.append(record), store.requestLog.append(record)]);
    }
    await store.settled();
    const uses = [
      { budget: whole[0], start: 0, used: 2_000_123_456_789_013n },
      { budget: hour[0], start, used: 2_000_000_000_000_000n },
      { budget: month[0], start, used: 2_000_300_000_000_003n },
    ];
    expect(store.ledger.used(...whole)).toBe(2_000_123_456_789_013n);
    expect(store.ledger.used('budgets/all', 1)).toBe(0n);
    expect(await store.ledger.uses([0, start])).toStrictEqual(uses);
    expect(await store.ledger.uses([start])).toStrictEqual(uses.slice(1));
    expect(await store.ledger.uses([])).toStrictEqual([]);
    const sum = 2_000_423_456_789_021n;
    expect(await store.ledger.check()).toStrictEqual({ rows: 5, requests: 3, budgets: 3, sum, faults: [] });
    await store.removeOld({ log: 200, payloads: 14, rollups: 730 });
    // The hour is over and its rows are gone: nobody asks for it any more. Of the month there is a row.
    expect(await store.ledger.uses([0, start])).toStrictEqual([uses[0], uses[2]]);
    expect(await store.ledger.check()).toMatchObject({ rows: 1, requests: 1, budgets: 2, faults: [] });
    // One whose rows come to something else than its cost.
    const id = newRequestId(Date.now());
    await store.requestLog.append(requestRecord({ id, tenant: 'ledger', costUsd: 1, charges: [charge(0, 7, whole)] }));
    await store.settled();
    const { faults } = await store.ledger.check();
    expect(faults).toStrictEqual([{ what: 'request', id, ledger: 7n, expected: 1_000_000_000_000n }]);
  });

  test('keeps what was paid in the month of now, however short the log is kept', () => {
    const now = Date.UTC(2026, 0, 31, 23, 59);
    expect(oldPeriod(now, 1)).toBeLessThan(Date.UTC(2026, 0, 1) - 86_400_000);
    expect(oldPeriod(now, 90)).toBe(now - 90 * 86_400_000);
  });
}
