import { MizanError } from '../../core/errors.ts';
import { didYouMean } from '../../core/nearest.ts';
import type { Provider } from '../../core/upstream.ts';
import type { Model, Timeouts } from './model.ts';
import { roundRobin } from './strategies/round-robin.ts';

/** Directly called models that are remembered; the one that was asked for least lately goes. */
const maxDirect = 1000;

/** Printable ASCII without spaces: it goes into headers and the log. */
const upstreamName = /^[\x21-\x7e]{1,200}$/;

/** All models that can be called: the config's by id, and any provider's directly as `provider/upstream-model`. */
export class Models {
  readonly #configured: ReadonlyMap<string, Model>;
  readonly #providers: ReadonlyMap<string, Provider>;
  readonly #timeouts: Timeouts;
  readonly #direct = new Map<string, Model>();

  constructor(
    configured: ReadonlyMap<string, Model>,
    providers: ReadonlyMap<string, Provider>,
    /** For models that are called directly. */
    timeouts: Timeouts,
  ) {
    this.#configured = configured;
    this.#providers = providers;
    this.#timeouts = timeouts;
  }

  /** The config's models, in its order. */
  list(): IterableIterator<Model> {
    return this.#configured.values();
  }

  /** @throws MizanError `unknown_model`, with the nearest name. */
  find(name: string): Model {
    const model = this.#configured.get(name) ?? this.#findDirect(name);
    if (model !== undefined) return model;
    const hint = didYouMean(name, this.#configured.keys());
    throw new MizanError('unknown_model', `There is no model "${name.slice(0, 100)}".${hint}`, { param: 'model' });
  }

  #findDirect(name: string): Model | undefined {
    const slash = name.indexOf('/');
    if (slash <= 0 || !upstreamName.test(name.slice(slash + 1))) return undefined;
    const provider = this.#providers.get(name.slice(0, slash));
    if (provider === undefined) return undefined;
    const known = this.#direct.get(name);
    if (known !== undefined) this.#direct.delete(name);
    const model = known ?? this.#makeDirect(name, provider, name.slice(slash + 1));
    this.#direct.set(name, model);
    const [oldest] = this.#direct.keys();
    if (this.#direct.size > maxDirect && oldest !== undefined) this.#direct.delete(oldest);
    return model;
  }

  #makeDirect(name: string, provider: Provider, upstreamModel: string): Model {
    const instance = { id: provider.name, provider, upstreamModel, weight: 1, price: provider.priceOf(upstreamModel) };
    return {
      id: name,
      label: `${provider.name}/*`,
      instances: [instance],
      strategy: roundRobin(),
      timeouts: this.#timeouts,
    };
  }
}
