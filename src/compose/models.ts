import type { Config } from '../config/config.ts';
import type { Clock } from '../core/clock.ts';
import { SetupError } from '../core/errors.ts';
import type { Random } from '../core/random.ts';
import type { Provider } from '../core/upstream.ts';
import { Models } from '../flow/routing/models.ts';
import { Pool } from '../flow/routing/pool.ts';
import { Served } from '../flow/routing/served.ts';
import { strategies } from '../flow/routing/strategies/index.ts';
import type { InstanceState } from '../telemetry/metrics.ts';

/** Time and chance, as the flow is given them. */
interface World {
  readonly clock: Clock;
  readonly random: Random;
}

/** The configuration's models over its providers. @throws SetupError where a provider is not there. */
export function modelsOf(config: Config, providers: ReadonlyMap<string, Provider>, world: World): Models {
  const models = new Map<string, Served>();
  for (const [id, model] of Object.entries(config.models)) {
    const instances = model.instances.map(({ provider: name, model: upstreamModel, price, ...rest }) => {
      const provider = providers.get(name);
      if (provider === undefined) throw new SetupError(`models.${id}: there is no provider "${name}".`);
      return { ...rest, provider, upstreamModel, price };
    });
    const { strategy: strategyName, timeouts, health, retries, fallbacks, hedge, resume } = model;
    const queue = { ...model.queue, weights: config.limiting.weights };
    const strategy = strategies[strategyName]();
    const pool = new Pool({ id, label: id, instances, strategyName, strategy, timeouts }, { health, queue }, world);
    const { attempts: maxAttempts, ratio: retryRatio } = retries;
    models.set(id, new Served(pool, { maxAttempts, retryRatio, fallbacks, hedge, resume }));
  }
  return new Models(models, providers, world);
}

/** How all instances are doing, for the metrics. */
export function* instanceStates(models: Models): Generator<InstanceState> {
  for (const { pool } of models.list()) {
    for (const { instance, health } of pool.views()) {
      const isUp = health.state === 'healthy' || health.state === 'returning';
      yield { instance: instance.id, model: pool.model.label, isUp, inFlight: instance.figures.inFlight };
    }
  }
}
