import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import { apiKeyRecord } from '../../../test/support/api-key.ts';
import { keyState, publicKey } from '../../core/api-key.ts';
import { systemClock } from '../../core/clock.ts';
import { everyTenant } from '../../core/request-record.ts';
import { SqliteApiKeys } from './api-keys.ts';
import { openDatabase } from './database.ts';
import { databaseFile } from './file.ts';
import { IdentityEpoch } from './identity-epoch.ts';
import type { Store } from './index.ts';
import { openStore } from './index.ts';

async function open(folder = temporaryFolder()): Promise<Store> {
  const store = await openStore(folder);
  onTestFinished(() => store.close());
  return store;
}

const key = apiKeyRecord({
  name: 'ci 🙂',
  role: 'operator',
  agents: ['assistant', 'a"b'],
  createdAt: Date.UTC(2026, 0, 1),
  expiresAt: Date.UTC(2027, 0, 1),
});

const limits = { rpm: 60, tpm: 1000, maxInFlight: 2, budget: { usd: 0.5, per: 'day' } } as const;

describe('API keys', () => {
  test.each([
    ['limited to agents, and expiring', key],
    ['for everything, for ever', { ...key, agents: null, expiresAt: null }],
    ['for nothing', { ...key, agents: [] }],
    ['for models, and limited', { ...key, models: ['fast', 'a/b'], limits }],
    ['for every tenant', { ...key, scope: 'any' as const }],
    ['rotated', { ...key, rotatedAt: 7, previous: { hash: 'e'.repeat(64), until: 8 } }],
    ['already revoked', { ...key, revokedAt: Date.UTC(2026, 5, 1) }],
  ])('are found as they were put in: %s', async (_what, record) => {
    const { apiKeys } = await open();
    apiKeys.insert(record);
    expect(apiKeys.find(record.id)).toStrictEqual(record);
    expect(apiKeys.list(everyTenant)).toStrictEqual([record]);
  });

  test('that are not there are not found', async () => {
    const { apiKeys } = await open();
    apiKeys.insert(key);
    for (const id of ['', '0123456789abcdee', '%', "' OR 1=1 --", '0123456789ABCDEF']) {
      expect(apiKeys.find(id)).toBe(undefined);
    }
  });

  test('are listed oldest first', async () => {
    const { apiKeys } = await open();
    for (const [i, id] of ['c', 'a', 'b'].entries()) apiKeys.insert({ ...key, id, createdAt: i });
    expect(apiKeys.list(everyTenant).map(({ id }) => id)).toStrictEqual(['c', 'a', 'b']);
  });

  test('are revoked once', async () => {
    const { apiKeys } = await open();
    apiKeys.insert(key);
    expect(apiKeys.revoke(key.id, 7)).toBe(true);
    expect(apiKeys.revoke(key.id, 8)).toBe(false);
    expect(apiKeys.revoke('nobody', 9)).toBe(false);
    expect(apiKeys.find(key.id)).toStrictEqual({ ...key, revokedAt: 7 });
  });

  test('of one id are one: a second one is refused and the first stays', async () => {
    const { apiKeys } = await open();
    apiKeys.insert(key);
    expect(() => apiKeys.insert({ ...key, name: 'other' })).toThrow(/UNIQUE/);
    expect(apiKeys.find(key.id)?.name).toBe(key.name);
  });

  test('made or revoked by another process are seen at once', async () => {
    const folder = temporaryFolder();
    const here = await open(folder);
    const there = await open(folder);
    there.apiKeys.insert(key);
    expect(here.apiKeys.find(key.id)).toStrictEqual(key);
    there.apiKeys.revoke(key.id, 7);
    expect(here.apiKeys.find(key.id)?.revokedAt).toBe(7);
  });

  test('are listed for the tenant that is asked for', async () => {
    const { apiKeys } = await open();
    apiKeys.insert(key);
    apiKeys.insert({ ...key, id: 'theirs', tenant: 'other' });
    expect(apiKeys.list('acme').map(({ id }) => id)).toStrictEqual([key.id]);
    expect(apiKeys.list('nobody')).toStrictEqual([]);
  });

  test('are rotated any number of times, and the secret before the last one is over', async () => {
    const { apiKeys } = await open();
    apiKeys.insert(key);
    const [b, c, d] = ['b', 'c', 'd'].map((letter) => letter.repeat(64)) as [string, string, string];
    apiKeys.rotate(key.id, { hash: b, at: 10, previousUntil: 20 });
    const rotated = apiKeys.rotate(key.id, { hash: c, at: 11, previousUntil: 21 });
    expect(rotated).toStrictEqual({ ...key, hash: c, rotatedAt: 11, previous: { hash: b, until: 21 } });
    expect(apiKeys.find(key.id)).toStrictEqual(rotated);
    expect(apiKeys.rotate(key.id, { hash: d, at: 12, previousUntil: 12 })?.previous).toBe(null);
  });

  test('that are revoked or not there are not rotated', async () => {
    const { apiKeys } = await open();
    apiKeys.insert({ ...key, revokedAt: 1 });
    for (const id of [key.id, 'nobody', "' OR 1=1 --"]) {
      expect(apiKeys.rotate(id, { hash: 'b', at: 10, previousUntil: 20 })).toBe(undefined);
    }
    expect(apiKeys.list(everyTenant)).toStrictEqual([{ ...key, revokedAt: 1 }]);
  });

  test('that somebody else wrote are listed as damaged, whatever stands in them, and can be ended', async () => {
    const folder = temporaryFolder();
    const { apiKeys } = await open(folder);
    const ids = ['a', 'b', 'c', 'd'];
    for (const id of ids) apiKeys.insert({ ...key, id });
    const database = openDatabase(join(folder, databaseFile), { readOnly: false, busyTimeoutMs: 1000 });
    onTestFinished(() => database.close());
    database.exec(`
      UPDATE api_keys SET role = 'admin' WHERE id = 'a';
      UPDATE api_keys SET agents = 'no JSON', limits = '[]', name = x'00' WHERE id = 'b';
      UPDATE api_keys SET agents = '"all"', created_at = 'long ago', expires_at = 1e300 WHERE id = 'c';
      UPDATE identity_revision SET revision = revision + 1`);
    const listed = apiKeys.list('acme').toSorted((one, other) => (one.id < other.id ? -1 : 1));
    expect(listed.map((each) => keyState(each, 1))).toStrictEqual(['damaged', 'damaged', 'damaged', 'active']);
    for (const each of listed) expect(() => JSON.stringify(publicKey(each, undefined, 1))).not.toThrow();
    expect(listed[3]).toStrictEqual({ ...key, id: 'd' });
    for (const id of ['a', 'b', 'c']) {
      expect([apiKeys.find(id), apiKeys.look(id)?.isDamaged]).toStrictEqual([undefined, true]);
      expect(apiKeys.rotate(id, { hash: 'b', at: 10, previousUntil: 20 })).toBe(undefined);
      expect(apiKeys.revoke(id, 7)).toBe(true);
      expect(keyState(apiKeys.look(id)!, 8)).toBe('revoked');
      expect(apiKeys.find(id)).toBe(undefined);
    }
    expect([apiKeys.look('d'), apiKeys.look('nobody')]).toStrictEqual([{ ...key, id: 'd' }, undefined]);
  });

  test('have a last use, which outlives the process and never goes back', async () => {
    const folder = temporaryFolder();
    const first = await openStore(folder);
    first.apiKeys.insert(key);
    expect(first.apiKeys.lastUsed()).toStrictEqual(new Map());
    first.apiKeys.used(key.id, 5);
    first.apiKeys.used(key.id, 9);
    expect(first.apiKeys.lastUsed()).toStrictEqual(new Map([[key.id, 9]]));
    await first.close();
    const { apiKeys } = await open(folder);
    expect(apiKeys.lastUsed()).toStrictEqual(new Map([[key.id, 9]]));
    apiKeys.used(key.id, 7);
    expect(apiKeys.lastUsed()).toStrictEqual(new Map([[key.id, 9]]));
  });

  test('have their uses written in batches, each once', async () => {
    const folder = temporaryFolder();
    const { apiKeys: elsewhere, vault } = await open(folder);
    const database = openDatabase(join(folder, databaseFile), { readOnly: false, busyTimeoutMs: 1000 });
    onTestFinished(() => database.close());
    const apiKeys = new SqliteApiKeys(database, {
      epoch: new IdentityEpoch(database, systemClock),
      seal: vault.apiKeySeal,
    });
    for (const [i, id] of ['a', 'b', 'c', 'd', 'e'].entries()) apiKeys.used(id, i);
    expect([apiKeys.writeUses(2), elsewhere.lastUsed().size]).toStrictEqual([true, 2]);
    expect([apiKeys.writeUses(2), elsewhere.lastUsed().size]).toStrictEqual([true, 4]);
    expect([apiKeys.writeUses(2), elsewhere.lastUsed().get('e')]).toStrictEqual([false, 4]);
    expect(apiKeys.writeUses(2)).toBe(false);
  });
});
