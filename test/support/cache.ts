import type { Clock } from '../../src/core/clock.ts';
import type { SharedAnswers } from '../../src/core/response-cache.ts';
import { AnswerCache } from '../../src/flow/cache/index.ts';
import type { CachedPart, CachePolicy } from '../../src/flow/cache/policy.ts';
import { CacheRules } from '../../src/flow/cache/policy.ts';
import type { Metrics } from '../../src/telemetry/metrics.ts';

/** What holds where the configuration says nothing. */
export const usualPolicy: CachePolicy = {
  when: 'deterministic',
  isPrivate: false,
  ttlMs: 3_600_000,
  keepsToolCalls: false,
  revalidateMs: 0,
  rescueMs: 0,
  paceMs: 0,
};

export interface CacheSetting {
  readonly policy?: Partial<CachePolicy>;
  readonly agents?: Readonly<Record<string, CachedPart & { readonly params: Readonly<Record<string, unknown>> }>>;
  readonly models?: Readonly<Record<string, CachedPart>>;
  readonly maxBytes?: number;
  readonly maxBytesPerTenant?: number;
  readonly shared?: SharedAnswers;
}

/** A cache of a test's own. */
export function cacheOf(metrics: Metrics, clock: Clock, setting: CacheSetting = {}): AnswerCache {
  const { policy, agents = {}, models = {}, maxBytes = 1024 * 1024, maxBytesPerTenant = Infinity } = setting;
  const { shared = null } = setting;
  const rules = new CacheRules({
    policy: { ...usualPolicy, ...policy },
    agents: new Map(Object.entries(agents)),
    models: new Map(Object.entries(models)),
    providers: new Map(),
  });
  return new AnswerCache(rules, { maxBytes, maxBytesPerTenant }, { metrics: metrics.cache, clock, shared });
}
