import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { budgetRule, limitRule } from '../../test/support/limits.ts';
import type { ApiKeyRecord } from '../core/api-key.ts';
import { everyTenant } from '../core/request-record.ts';
import type { Engine } from './contract.suite.ts';
import type { Store } from './index.ts';

/** Waits for what another store did, for as long as it may take to come about. */
export async function soon<T>(look: () => T, isIt: (seen: T) => boolean): Promise<T> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const seen = look();
    if (isIt(seen) || performance.now() > deadline) return seen;
    await wait(20);
  }
}

/** What one process changes, another knows. @param key Of the kind that is made. */
export function otherProcessTests(
  parts: () => { readonly engine: Engine; readonly store: Store },
  key: ApiKeyRecord,
): void {
  test('tells another process of tokens that were taken back', async () => {
    const { engine, store } = parts();
    const other = await engine.open();
    try {
      const revocation = {
        kind: 'jti',
        value: 'j-1',
        tenant: null,
        revokedAt: 5,
        expiresAt: null,
        scope: 'any',
      } as const;
      store.revocations.add(revocation);
      const seen = await soon(
        () => other.revocations.list(everyTenant, 6),
        (list) => list.length > 0,
      );
      expect(seen).toStrictEqual([revocation]);
    } finally {
      await other.close();
    }
  });

  test('tells another process of a key that was made or revoked', async () => {
    const { engine, store } = parts();
    const other = await engine.open();
    try {
      store.apiKeys.insert({ ...key, id: 'shared' });
      const found = await soon(
        () => other.apiKeys.find('shared'),
        (seen) => seen !== undefined,
      );
      expect(found).toStrictEqual({ ...key, id: 'shared' });
      other.apiKeys.revoke('shared', 7);
      const revoked = await soon(
        () => store.apiKeys.find('shared')?.revokedAt,
        (seen) => seen === 7,
      );
      expect(revoked).toBe(7);
    } finally {
      await other.close();
    }
  });

  test('tells another process of a limit or a budget that was made, changed or removed', async () => {
    const { engine, store } = parts();
    const other = await engine.open();
    try {
      const { version } = other.limitRules;
      const limit = limitRule({ name: 'shared', source: 'api', for: { tenant: 'acme' }, rpm: 5 });
      const budget = budgetRule({ name: 'shared', source: 'api', usd: 12.5 });
      store.limitRules.putLimit({ ...limit, rpm: 4 }, 1);
      store.limitRules.putLimit(limit, 2);
      store.limitRules.putBudget(budget, 3);
      const found = await soon(
        () => [other.limitRules.limits(), other.limitRules.budgets()],
        ([limits = [], budgets = []]) => limits.length === 1 && budgets.length === 1,
      );
      expect(found).toStrictEqual([[limit], [budget]]);
      expect(
        await soon(
          () => other.limitRules.version,
          (seen) => seen !== version,
        ),
      ).not.toBe(version);
      expect([store.limitRules.remove('limit', 'shared'), store.limitRules.remove('limit', 'shared')]).toEqual([
        true,
        false,
      ]);
      expect(
        await soon(
          () => other.limitRules.limits().length,
          (seen) => seen === 0,
        ),
      ).toBe(0);
      store.limitRules.remove('budget', 'shared');
    } finally {
      await other.close();
    }
  });
}
