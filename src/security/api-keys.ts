import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ApiKeyRecord } from '../core/api-key.ts';
import { Secret } from '../core/secret.ts';

/** `mz_`, 16 hex digits that name the key, and 48 that prove it. */
const form = /^mz_([0-9a-f]{16})_[0-9a-f]{48}$/;

export const apiKeyPrefix = 'mz_';

/** A new key and the id it is looked up by. The key itself is shown once and never kept. */
export function newApiKey(id = randomBytes(8).toString('hex')): {
  readonly id: string;
  readonly key: Secret<string>;
  readonly hash: string;
} {
  const key = `${apiKeyPrefix}${id}_${randomBytes(24).toString('hex')}`;
  return { id, key: new Secret(key), hash: hashOf(key) };
}

/** The id part of a key, or `null` for what isn't one. */
export function apiKeyId(key: string): string | null {
  return form.exec(key)?.[1] ?? null;
}

/**
 * Whether it is this key, or the one before its rotation that is still good at `now`. Compares in constant time, and
 * as often where the key isn't known at all.
 */
export function apiKeyMatches(key: string, record: ApiKeyRecord | undefined, now: number): boolean {
  const given = Buffer.from(hashOf(key), 'hex');
  const isCurrent = isHash(given, record?.hash);
  const isPrevious = isHash(given, record?.previous?.hash);
  return isCurrent || (isPrevious && (record?.previous?.until ?? 0) > now);
}

function isHash(given: Buffer, kept: string | undefined): boolean {
  const known = Buffer.from(kept ?? '', 'hex');
  const isComparable = known.length === given.length;
  return timingSafeEqual(given, isComparable ? known : Buffer.alloc(given.length)) && isComparable;
}

/** The secret part has 192 random bits, so a plain hash is enough: there is nothing to guess. */
function hashOf(key: string): string {
  return hash('sha256', key, 'hex');
}
