import type { Config } from '../config/config.ts';
import type { Clock } from '../core/clock.ts';
import type { SharedAnswers } from '../core/response-cache.ts';
import { AnswerCache } from '../flow/cache/index.ts';
import { CacheRules, policyOf, versionOf } from '../flow/cache/policy.ts';
import type { RedisConnection } from '../redis/connection.ts';
import type { Store } from '../store/index.ts';
import type { Metrics } from '../telemetry/metrics.ts';

interface CacheHouse {
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** `null` where answers are shared with nobody. */
  readonly redis: RedisConnection | null;
  readonly store: Pick<Store, 'vault' | 'unfinishedPurges'>;
}

/** The response cache, as the configuration wants it. */
export async function answerCacheOf(config: Config, house: CacheHouse): Promise<AnswerCache> {
  const { metrics, clock, redis } = house;
  const { maxBytes, maxBytesPerTenant } = config.cache;
  const limits = { maxBytes, maxBytesPerTenant: maxBytesPerTenant ?? Infinity };
  const shared = redis === null ? null : await sharedAnswersOf(redis, house, limits.maxBytesPerTenant);
  return new AnswerCache(rulesOf(config), limits, { metrics: metrics.cache, clock, shared });
}

async function sharedAnswersOf(
  redis: RedisConnection,
  { store: { vault, unfinishedPurges }, metrics }: CacheHouse,
  maxBytesPerTenant: number,
): Promise<SharedAnswers> {
  const { RedisAnswers } = await import('../redis/shared-answers.ts');
  const refused = (): void => metrics.cache.refused();
  return new RedisAnswers(redis, vault.ring, { maxBytesPerTenant, unfinishedPurges, refused });
}

/** Versions are of definitions, so that every process with the same configuration has the same. */
function rulesOf(config: Config): CacheRules {
  const providers = new Map<string, string>();
  for (const [name, provider] of Object.entries(config.providers)) {
    providers.set(name, versionOf({ ...provider, apiKey: undefined }));
  }
  const models = Object.entries(config.models).map(([id, { cache, ...model }]) => {
    const version = versionOf([model, model.instances.map(({ provider }) => providers.get(provider))]);
    return [id, { version, policy: policyOf(cache) }] as const;
  });
  const agents = Object.entries(config.agents).map(([name, { cache, description: _description, ...agent }]) => {
    return [name, { version: versionOf(agent), policy: policyOf(cache), params: agent.params }] as const;
  });
  const { maxBytes: _, maxBytesPerTenant: _each, ...rule } = config.cache;
  return new CacheRules({ policy: policyOf(rule), agents: new Map(agents), models: new Map(models), providers });
}
