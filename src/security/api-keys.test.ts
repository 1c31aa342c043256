import { createHash, timingSafeEqual } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import { apiKeyRecord } from '../../test/support/api-key.ts';
import type { ApiKeyRecord } from '../core/api-key.ts';
import { apiKeyId, apiKeyMatches, newApiKey } from './api-keys.ts';

vi.mock(import('node:crypto'), async (original) => {
  const crypto = await original();
  return { ...crypto, timingSafeEqual: vi.fn<typeof crypto.timingSafeEqual>(crypto.timingSafeEqual) };
});

function recordOf(made: { readonly id: string; readonly hash: string }): ApiKeyRecord {
  return apiKeyRecord({ id: made.id, hash: made.hash });
}

describe('a new key', () => {
  test('has the form mz_ID_SECRET, and is looked up by its id', () => {
    const { id, key } = newApiKey();
    expect(key.reveal()).toMatch(/^mz_[0-9a-f]{16}_[0-9a-f]{48}$/);
    expect(apiKeyId(key.reveal())).toBe(id);
  });

  test('is kept as a SHA-256 only', () => {
    const { key, hash } = newApiKey();
    expect(hash).toBe(createHash('sha256').update(key.reveal()).digest('hex'));
  });

  test('is like no other', () => {
    const keys = Array.from({ length: 100 }, newApiKey);
    expect(new Set(keys.map(({ id }) => id)).size).toBe(100);
    expect(new Set(keys.map(({ key }) => key.reveal().slice(20))).size).toBe(100);
  });

  test('does not show itself', () => {
    const made = newApiKey();
    expect(JSON.stringify(made)).not.toContain(made.key.reveal().slice(20));
  });
});

describe('a key', () => {
  const made = newApiKey();
  const key = made.key.reveal();

  test('matches its own record', () => {
    expect(apiKeyMatches(key, recordOf(made), 0)).toBe(true);
  });

  test('matches none where any of its characters is another', () => {
    for (let at = 0; at < key.length; at++) {
      const other = key.slice(0, at) + (key[at] === '0' ? '1' : '0') + key.slice(at + 1);
      expect(apiKeyMatches(other, recordOf(made), 0)).toBe(false);
    }
  });

  test('does not match another’s record', () => {
    expect(apiKeyMatches(key, recordOf(newApiKey()), 0)).toBe(false);
  });

  test.each(['', '00', 'f'.repeat(63), 'not hex', made.hash.slice(0, 62), `${made.hash}00`])(
    'does not match a record whose hash is broken: %j',
    (hash) => {
      expect(apiKeyMatches(key, recordOf({ id: made.id, hash }), 0)).toBe(false);
    },
  );

  test('is compared in the same way whether its id is known or not', () => {
    vi.mocked(timingSafeEqual).mockClear();
    expect(apiKeyMatches(key, undefined, 0)).toBe(false);
    expect(apiKeyMatches(key, recordOf(newApiKey()), 0)).toBe(false);
    const { calls } = vi.mocked(timingSafeEqual).mock;
    expect(calls.map((sides) => sides.map(({ byteLength }) => byteLength))).toStrictEqual([
      [32, 32],
      [32, 32],
      [32, 32],
      [32, 32],
    ]);
  });

  test('that was rotated matches beside its new secret, until its time is over', () => {
    const next = newApiKey(made.id);
    const record = apiKeyRecord({ id: made.id, hash: next.hash, previous: { hash: made.hash, until: 100 } });
    expect(next.key.reveal().slice(0, 20)).toBe(key.slice(0, 20));
    expect([99, 100].map((now) => apiKeyMatches(key, record, now))).toStrictEqual([true, false]);
    expect([99, 100].map((now) => apiKeyMatches(next.key.reveal(), record, now))).toStrictEqual([true, true]);
  });

  test.each([
    '',
    'mz_',
    'mz_0123456789abcdef',
    `mz_0123456789abcdef_${'0'.repeat(47)}`,
    `mz_0123456789abcdef_${'0'.repeat(49)}`,
    `mz_0123456789ABCDEF_${'0'.repeat(48)}`,
    `mz_0123456789abcdef_${'g'.repeat(48)}`,
    `xmz_0123456789abcdef_${'0'.repeat(48)}`,
    `mz_0123456789abcdef_${'0'.repeat(48)}\n`,
    `mz_0123456789abcdef-${'0'.repeat(48)}`,
  ])('is not one in the form %j', (text) => {
    expect(apiKeyId(text)).toBe(null);
  });
});
