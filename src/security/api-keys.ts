import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ApiKeyRecord } from '../core/api-key.ts';
import { Secret } from '../core/secret.ts';

/** `mz_`, 16 hex digits that name the key, and 48 that prove it. */
const form = /^mz_([0-9a-f]{16})_[0-9a-f]{48}$/;

export const apiKeyPrefix = 'mz_';

/** A new key and the id it is looked up by. The key itself is shown once and never kept. */
export function newApiKey(): { readonly id: string; readonly key: Secret<string>; readonly hash: string } {
  const id = randomBytes(8).toString('hex');
  const key = `${apiKeyPrefix}${id}_${randomBytes(24).toString('hex')}`;
  return { id, key: new Secret(key), hash: hashOf(key) };
}

/** The id part of a key, or `null` for what isn't one. */
export function apiKeyId(key: string): string | null {
  return form.exec(key)?.[1] ?? null;
}

/** Compares in constant time, against a hash of the same length where the key isn't known at all. */
export function apiKeyMatches(key: string, record: ApiKeyRecord | undefined): boolean {
  const given = Buffer.from(hashOf(key), 'hex');
  const known = record === undefined ? Buffer.alloc(given.length) : Buffer.from(record.hash, 'hex');
  return known.length === given.length && timingSafeEqual(given, known) && record !== undefined;
}

/** The secret part has 192 random bits, so a plain hash is enough: there is nothing to guess. */
function hashOf(key: string): string {
  return hash('sha256', key, 'hex');
}
