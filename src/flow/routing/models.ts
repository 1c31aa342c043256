import type { Clock } from '../../core/clock.ts';
import { MizanError } from '../../core/errors.ts';
import { didYouMean } from '../../core/nearest.ts';
import type { Random } from '../../core/random.ts';
import type { Provider } from '../../core/upstream.ts';
import { defaultHealth } from './health.ts';
import type { Timeouts } from './model.ts';
import type { InstanceSettings } from './pool.ts';
import { defaultQueue, Pool } from './pool.ts';
import { defaultPolicy, Served } from './served.ts';
import { roundRobin } from './strategies/round-robin.ts';

/** Directly called models that are remembered; the one that was asked for least lately goes. */
const maxDirect = 1000;

/** Printable ASCII without spaces: it goes into headers and the log. */
const upstreamName = /^[\x21-\x7e]{1,200}$/;

/** For models that are called directly, for which the config has no place. In ms. */
const directTimeouts: Timeouts = {
  connectMs: 5000,
  firstByteMs: 120_000,
  firstTokenMs: 120_000,
  idleMs: 60_000,
  totalMs: 600_000,
};

/** What an instance is where the config says nothing of it. */
export const plainInstance = {
  weight: 1,
  priority: 1,
  maxInFlight: null,
  rpm: null,
  tpm: null,
  tags: [],
  contextLength: null,
  capabilities: { vision: true, tools: true, jsonSchema: true },
} as const satisfies Partial<InstanceSettings>;

/** All models that can be called: the config's by id, and any provider's directly as `provider/upstream-model`. */
export class Models {
  readonly #configured: ReadonlyMap<string, Served>;
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #world: { readonly clock: Clock; readonly random: Random };
  readonly #direct = new Map<string, Served>();

  constructor(
    configured: ReadonlyMap<string, Served>,
    providers: ReadonlyMap<string, Provider>,
    world: { readonly clock: Clock; readonly random: Random },
  ) {
    this.#configured = configured;
    this.#providers = providers;
    this.#world = world;
  }

  /** The config's models, in its order. */
  list(): IterableIterator<Served> {
    return this.#configured.values();
  }

  /** A model of the config by its id. */
  served(id: string): Served | undefined {
    return this.#configured.get(id);
  }

  /** Whether it can be called by that name. */
  has(name: string): boolean {
    return this.#configured.has(name) || this.#findDirect(name) !== undefined;
  }

  /** @throws MizanError `unknown_model`, with the nearest name. */
  find(name: string): Served {
    const served = this.#configured.get(name) ?? this.#findDirect(name);
    if (served !== undefined) return served;
    const hint = didYouMean(name, this.#configured.keys());
    throw new MizanError('unknown_model', `There is no model "${name.slice(0, 100)}".${hint}`, { param: 'model' });
  }

  #findDirect(name: string): Served | undefined {
    const slash = name.indexOf('/');
    if (slash <= 0 || !upstreamName.test(name.slice(slash + 1))) return undefined;
    const provider = this.#providers.get(name.slice(0, slash));
    if (provider === undefined) return undefined;
    const known = this.#direct.get(name);
    if (known !== undefined) this.#direct.delete(name);
    const served = known ?? this.#serveDirectly(name, provider, name.slice(slash + 1));
    this.#direct.set(name, served);
    const [oldest] = this.#direct.keys();
    if (this.#direct.size > maxDirect && oldest !== undefined) this.#direct.delete(oldest);
    return served;
  }

  #serveDirectly(name: string, provider: Provider, upstreamModel: string): Served {
    const instance = { ...plainInstance, id: provider.name, provider, upstreamModel, price: null };
    const model = {
      id: name,
      label: `${provider.name}/*`,
      instances: [instance],
      strategyName: 'round-robin' as const,
      strategy: roundRobin(),
      timeouts: directTimeouts,
    };
    return new Served(new Pool(model, { health: defaultHealth, queue: defaultQueue }, this.#world), defaultPolicy);
  }
}
