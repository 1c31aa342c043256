import type { Config } from '../config/config.ts';
import type { Clock } from '../core/clock.ts';
import type { PostWebhook } from '../core/webhooks.ts';
import { limiterEvents, limitStates } from '../flow/limits/figures.ts';
import { Limiter } from '../flow/limits/limiter.ts';
import type { RedisConnection } from '../redis/connection.ts';
import { RedisLimits } from '../redis/limits.ts';
import { nodeName } from '../redis/node-name.ts';
import type { Store } from '../store/index.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { budgetAlerts } from './budget-alerts.ts';
import { queueOf } from './overload.ts';

interface LimitsHouse {
  readonly store: Pick<Store, 'limitRules' | 'ledger'>;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly clock: Clock;
  readonly post: PostWebhook;
  /** `null` where limits are counted by this process alone. */
  readonly redis: RedisConnection | null;
  readonly dataFolder: string;
}

/** The limits and budgets, as the configuration and the store have them, with their figures. */
export function limiterOf(config: Config, house: LimitsHouse): Limiter {
  const { store, metrics, log, clock, post, redis, dataFolder } = house;
  const limiter = new Limiter(
    { limits: config.limits, budgets: config.budgets, ...config.limiting, queue: queueOf(config) },
    {
      rules: store.limitRules,
      ledger: store.ledger,
      clock,
      events: limiterEvents(metrics, clock, budgetAlerts(config.limiting.webhooks, post, log)),
      shared: redis === null ? null : new RedisLimits(redis, nodeName(dataFolder)),
    },
  );
  metrics.watchLimits(() => limitStates(limiter));
  const { queue } = limiter;
  if (queue !== null) metrics.queue.watch((priority) => queue.count(priority));
  if (redis !== null) metrics.watchSharing(() => limiter.isByShare);
  return limiter;
}
