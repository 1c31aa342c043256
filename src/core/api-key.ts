import type { Grant } from './principal.ts';
import type { BudgetPeriod } from './limit.ts';
import type { Priority } from './priority.ts';
import type { TenantScope } from './request-record.ts';

/** What a key may use at most; `null` for no limit. */
export interface KeyLimits {
  /** Requests and tokens per minute. */
  readonly rpm: number | null;
  readonly tpm: number | null;
  /** Requests that are being answered at the same time. */
  readonly maxInFlight: number | null;
  readonly budget: { readonly usd: number; readonly per: BudgetPeriod; readonly timezone?: string } | null;
  /** Who goes first of a tenant's requests that wait, and who is refused last; absent for `normal`. */
  readonly priority?: Priority;
}

export const noLimits: KeyLimits = { rpm: null, tpm: null, maxInFlight: null, budget: null };

/** An API key as it is kept: never the key itself. */
export interface ApiKeyRecord extends Grant {
  /** The public part of the key, by which it is looked up. */
  readonly id: string;
  /** SHA-256 of the whole key, in hex. */
  readonly hash: string;
  readonly name: string;
  readonly limits: KeyLimits;
  /** In ms since the Unix epoch; likewise below. */
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
  readonly rotatedAt: number | null;
  /** The key before the last rotation, which is good `until` then. */
  readonly previous: { readonly hash: string; readonly until: number } | null;
}

/** A key as it is looked at. What stands in a damaged one is not to be relied on, and it lets nobody in. */
export interface SeenApiKey extends ApiKeyRecord {
  /** Its row is not the one that Mizan wrote. */
  readonly isDamaged?: true;
}

/** Where API keys are kept. */
export interface ApiKeys {
  /** One that can be relied on. */
  find(id: string): ApiKeyRecord | undefined;
  /** Whatever is there by that id. */
  look(id: string): SeenApiKey | undefined;
  /** Oldest first, with those that are damaged. */
  list(scope: TenantScope): SeenApiKey[];
  insert(key: ApiKeyRecord): void;
  /** Whether there was such a key, damaged or not, that was not revoked yet. */
  revoke(id: string, at: number): boolean;
  /**
   * Gives a key another secret; the one it has stays good until `previousUntil`, the one before that no longer.
   * @returns The key as it is now; `undefined` where there is none that is not revoked.
   */
  rotate(id: string, to: { hash: string; at: number; previousUntil: number }): ApiKeyRecord | undefined;
  /** Notes that a key was used. Kept in memory, and written at most once a minute. */
  used(id: string, at: number): void;
  /** When each key was used last, to the minute. Keys that never were are not in it. */
  lastUsed(): ReadonlyMap<string, number>;
}

/** How long the old secret of a rotated key is good where nothing else is said, in seconds. */
export const usualOverlap = 86_400;

/** What becomes of a key at `now`. */
export function keyState(key: SeenApiKey, now: number): 'active' | 'revoked' | 'expired' | 'damaged' {
  if (key.revokedAt !== null) return 'revoked';
  if (key.isDamaged === true) return 'damaged';
  return key.expiresAt !== null && key.expiresAt <= now ? 'expired' : 'active';
}

const shownTime = (time: number | null | undefined): string | null =>
  time === null || time === undefined ? null : new Date(time).toISOString();

/** A key as it is shown outside, without anything that makes it one: by the API, and by commands that print JSON. */
export function publicKey(key: SeenApiKey, lastUsedAt: number | undefined, now: number) {
  const { rpm, tpm, maxInFlight, budget, priority = 'normal' } = key.limits;
  return {
    id: key.id,
    name: key.name,
    tenant: key.tenant,
    any_tenant: key.scope === 'any',
    role: key.role,
    agents: key.agents,
    models: key.models,
    limits: { rpm, tpm, max_in_flight: maxInFlight, budget },
    priority,
    state: keyState(key, now),
    created_at: shownTime(key.createdAt),
    expires_at: shownTime(key.expiresAt),
    revoked_at: shownTime(key.revokedAt),
    rotated_at: shownTime(key.rotatedAt),
    previous_until: key.previous === null || key.previous.until <= now ? null : shownTime(key.previous.until),
    last_used_at: shownTime(lastUsedAt),
  };
}
