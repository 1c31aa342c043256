import { describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/folder.ts';
import type { ApiKeyRecord } from '../../core/api-key.ts';
import type { Store } from './index.ts';
import { openStore } from './index.ts';

async function open(folder = temporaryFolder()): Promise<Store> {
  const store = await openStore(folder);
  onTestFinished(() => store.close());
  return store;
}

const key: ApiKeyRecord = {
  id: '0123456789abcdef',
  hash: 'f'.repeat(64),
  name: 'ci 🙂',
  tenant: 'acme',
  role: 'operator',
  agents: ['assistant', 'a"b'],
  createdAt: Date.UTC(2026, 0, 1),
  expiresAt: Date.UTC(2027, 0, 1),
  revokedAt: null,
};

describe('API keys', () => {
  test.each([
    ['limited to agents, and expiring', key],
    ['for everything, for ever', { ...key, agents: null, expiresAt: null }],
    ['for nothing', { ...key, agents: [] }],
    ['already revoked', { ...key, revokedAt: Date.UTC(2026, 5, 1) }],
  ])('are found as they were put in: %s', async (_what, record) => {
    const { apiKeys } = await open();
    apiKeys.insert(record);
    expect(apiKeys.find(record.id)).toStrictEqual(record);
    expect(apiKeys.list()).toStrictEqual([record]);
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
    expect(apiKeys.list().map(({ id }) => id)).toStrictEqual(['c', 'a', 'b']);
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
});
