import { describe, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { apiKeyRecord } from '../../../test/support/api-key.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { Revocation, TokenFacts } from '../../core/revocation.ts';
import { epochLagMs } from '../../core/revocation.ts';
import type { Store } from './index.ts';
import { openStore } from './index.ts';

async function open(folder = temporaryFolder(), clock = new ManualClock()): Promise<Store> {
  const store = await openStore(folder, { clock });
  onTestFinished(() => store.close());
  return store;
}

const one: Revocation = { kind: 'jti', value: 'j1', tenant: 'acme', revokedAt: 1000, expiresAt: 5000, scope: 'any' };
const all: Revocation = { kind: 'sub', value: 'ali', tenant: null, revokedAt: 2000, expiresAt: null, scope: 'any' };
const token: TokenFacts = { tenant: 'acme', subject: 'sara', jti: 'j1', issuedAt: 500, scope: 'own' };

describe('a revocation', () => {
  test('of one token is of that one, in its tenant', async () => {
    const { revocations } = await open();
    revocations.add(one);
    expect(revocations.isRevoked(token)).toBe(true);
    for (const other of [{ tenant: 'other' }, { jti: 'j2' }, { jti: null }, { jti: 'J1' }, { jti: "' OR 1=1 --" }]) {
      expect(revocations.isRevoked({ ...token, ...other })).toBe(false);
    }
    expect(revocations.isRevoked({ ...token, jti: 'j2', subject: 'j1' })).toBe(false);
  });

  test('of a subject is of what was issued until then, and of what does not say when', async () => {
    const { revocations } = await open();
    revocations.add(all);
    const issued = [0, 1999, 2000, null, 2001].map((issuedAt) => ({ ...token, subject: 'ali', issuedAt }));
    expect(issued.map((facts) => revocations.isRevoked(facts))).toStrictEqual([true, true, true, true, false]);
    revocations.add({ ...all, revokedAt: 1500 });
    expect(revocations.isRevoked({ ...token, subject: 'ali', issuedAt: 2000 })).toBe(true);
  });

  test('by somebody who looks after one tenant leaves alone who looks after all', async () => {
    const { revocations } = await open();
    const operator: TokenFacts = { ...token, subject: 'ali', scope: 'any' };
    const both = (facts: TokenFacts): boolean[] =>
      (['own', 'any'] as const).map((scope) => revocations.isRevoked({ ...facts, scope }));
    revocations.add({ ...one, scope: 'own' });
    revocations.add({ ...all, tenant: 'acme', scope: 'own' });
    expect(both(token)).toStrictEqual([true, false]);
    expect(both({ ...operator, jti: 'j2' })).toStrictEqual([true, false]);
    // Whatever came first, the one that reaches further does.
    revocations.add({ ...all, tenant: 'acme', revokedAt: 1000 });
    expect(both({ ...operator, jti: 'j2', issuedAt: 1000 })).toStrictEqual([true, true]);
    expect(both({ ...operator, jti: 'j2', issuedAt: 1001 })).toStrictEqual([true, false]);
    expect(revocations.list('acme', 0)).toStrictEqual([
      { ...all, tenant: 'acme', scope: 'own' },
      { ...all, tenant: 'acme', revokedAt: 1000 },
      { ...one, scope: 'own' },
    ]);
    revocations.add(one);
    expect(both(token)).toStrictEqual([true, true]);
  });

  test('is listed, newest first, for the tenant it is about', async () => {
    const { revocations } = await open();
    for (const revocation of [one, all, { ...one, tenant: 'other', revokedAt: 1500 }]) revocations.add(revocation);
    expect(revocations.list('acme', 4999)).toStrictEqual([all, one]);
    expect(revocations.list(everyTenant, 0)).toHaveLength(3);
    expect(revocations.list(everyTenant, 5000)).toStrictEqual([all]);
  });

  test('goes when it has expired, and lasts as long as the longest that was said', async () => {
    const { revocations } = await open();
    revocations.add(one);
    revocations.add({ ...one, expiresAt: 4000 });
    revocations.add({ ...all, revokedAt: 4999 });
    expect(revocations.isRevoked(token)).toBe(true);
    revocations.add({ ...all, revokedAt: 5000 });
    expect(revocations.isRevoked(token)).toBe(false);
    revocations.add(one);
    revocations.add({ ...one, expiresAt: null });
    expect(revocations.list('acme', 9_000_000)).toContainEqual({ ...one, expiresAt: null });
  });

  test('outlives the process', async () => {
    const folder = temporaryFolder();
    const store = await openStore(folder);
    store.revocations.add(one);
    await store.close();
    expect((await open(folder)).revocations.isRevoked(token)).toBe(true);
  });
});

describe('the epoch', () => {
  test('changes at once with what happens here, and in time with what happens elsewhere', async () => {
    const folder = temporaryFolder();
    const clock = new ManualClock();
    const [here, there] = [await open(folder, clock), await open(folder, new ManualClock())];
    const key = apiKeyRecord();
    const changes = [
      (store: Store) => store.revocations.add(one),
      (store: Store) => store.apiKeys.insert({ ...key, id: store === here ? 'here' : 'there' }),
      (store: Store) => store.apiKeys.rotate('here', { hash: 'b', at: 1, previousUntil: 2 }),
      (store: Store) => store.apiKeys.revoke(store === here ? 'here' : 'there', 5),
    ];
    for (const change of changes) {
      const before = here.revocations.epoch;
      change(here);
      const after = here.revocations.epoch;
      expect(after).not.toBe(before);
      change(there);
      clock.advance(epochLagMs);
      expect(here.revocations.epoch).not.toBe(after);
    }
  });

  test('stays as it is for anything else that is written', async () => {
    const folder = temporaryFolder();
    const clock = new ManualClock();
    const [here, there] = [await open(folder, clock), await openStore(folder)];
    const { epoch } = here.revocations;
    there.apiKeys.used('k', 1);
    await there.close();
    clock.advance(1000);
    expect(here.revocations.epoch).toBe(epoch);
    expect(here.apiKeys.revoke('nobody', 1)).toBe(false);
    expect(here.revocations.epoch).toBe(epoch);
  });

  test('lags less than the second that is promised', () => {
    expect(epochLagMs).toBeLessThan(1000);
  });
});
