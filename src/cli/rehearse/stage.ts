import type { Config, ModelConfig, ProviderConfig } from '../../config/config.ts';
import type { Clock } from '../../core/clock.ts';
import { SetupError } from '../../core/errors.ts';
import { didYouMean } from '../../core/nearest.ts';
import type { AttemptHandler, ChatAttempt, OngoingAttempt, Provider } from '../../core/upstream.ts';
import type { Price } from '../../core/usage.ts';
import { createProvider } from '../../providers/index.ts';
import type { Fault } from '../../providers/simulator/faults.ts';
import type { Scenario, ScriptedFault } from './scenario.ts';

/** Your own config with every instance played by a simulator, and how to make those. */
export interface Stage {
  readonly config: Config;
  readonly provide: (name: string, settings: unknown, clock: Clock) => Provider;
  /** The curtain goes up: faults count from now on. */
  begin(): void;
}

/** @throws SetupError where the scenario names an instance that the config doesn't have. */
export function setStage(config: Config, scenario: Scenario, modelId: string): Stage {
  const cast = castOf(config, modelId);
  const model = config.models[modelId];
  if (model === undefined) throw new SetupError(`There is no model "${modelId}".`);
  const parts = new Map<string, { readonly faults: readonly ScriptedFault[]; readonly price: Price | null }>();
  const models: Record<string, ModelConfig> = {};
  for (const id of cast) {
    const original = config.models[id];
    if (original === undefined) continue;
    const instances = original.instances.map((instance, i) => {
      const name = `${id}.${instance.id}`;
      const faults = id === modelId ? faultsFor(scenario, original, i) : [];
      parts.set(name, { faults, price: instance.price });
      return { ...instance, provider: name };
    });
    models[id] = { ...original, instances, timeouts: { ...original.timeouts, ...withoutUndefined(scenario.timeouts) } };
  }
  checkNames(scenario, model);
  let began = Number.POSITIVE_INFINITY;
  const { latencyMs, tokensPerSecond } = scenario;
  const providers: Record<string, ProviderConfig> = Object.fromEntries(
    [...parts.keys()].map((name) => [
      name,
      { kind: 'simulator' as const, options: { latencyMs, tokensPerSecond, faults: [], seed: 1 } },
    ]),
  );
  return {
    config: {
      ...config,
      providers,
      models,
      agents: {},
      defaultAgent: null,
      server: { ...config.server, host: '127.0.0.1', port: 0, metricsPort: 0 },
      log: { level: 'fatal' },
    },
    provide: (name, _settings, clock) => {
      const part = parts.get(name);
      const simulate = (faults: readonly Fault[]): Provider =>
        createProvider(
          name,
          { kind: 'simulator', options: { latencyMs, tokensPerSecond, faults: [...faults], seed: 1 } },
          clock,
        );
      return new Actor(name, {
        faults: part?.faults ?? [],
        simulate,
        elapsed: () => clock.monotonic() - began,
        price: part?.price ?? null,
      });
    },
    begin: () => {
      began = performance.now();
    },
  };
}

/** The model and everything it may turn to. */
function castOf(config: Config, modelId: string): string[] {
  const { any = [], contextLength = [], contentPolicy = [] } = config.models[modelId]?.fallbacks ?? {};
  return [...new Set([modelId, ...any, ...contextLength, ...contentPolicy])];
}

function faultsFor(scenario: Scenario, model: ModelConfig, index: number): ScriptedFault[] {
  return scenario.faults.filter(({ instances }) => {
    if (instances === 'all') return true;
    if (instances === 'first') return index === 0;
    if (instances === 'others') return index > 0;
    if (instances === 'last') return index === model.instances.length - 1;
    return instances.includes(model.instances[index]?.id ?? '');
  });
}

function checkNames(scenario: Scenario, model: ModelConfig): void {
  const known = model.instances.map(({ id }) => id);
  for (const { instances } of scenario.faults) {
    if (typeof instances === 'string') continue;
    const unknown = instances.find((id) => !known.includes(id));
    if (unknown !== undefined) throw new SetupError(`There is no instance "${unknown}".${didYouMean(unknown, known)}`);
  }
}

function withoutUndefined<T extends object>(given: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}

interface ActorPart {
  readonly faults: readonly ScriptedFault[];
  readonly simulate: (faults: readonly Fault[]) => Provider;
  /** Ms since the first call. */
  readonly elapsed: () => number;
  readonly price: Price | null;
}

/** An instance in a rehearsal: well, or with the faults that the script has for this moment. */
class Actor implements Provider {
  readonly name: string;
  readonly continuation = 'prefill';
  readonly #part: ActorPart;
  readonly #well: Provider;
  readonly #ill: readonly { readonly script: ScriptedFault; readonly provider: Provider }[];

  constructor(name: string, part: ActorPart) {
    this.name = name;
    this.#part = part;
    this.#well = part.simulate([]);
    this.#ill = part.faults.map((script) => ({ script, provider: part.simulate(script.fault) }));
  }

  priceOf(): Price | null {
    return this.#part.price;
  }

  lengthsOf(): null {
    return null;
  }

  chat(attempt: ChatAttempt, handler: AttemptHandler): OngoingAttempt {
    const elapsed = this.#part.elapsed();
    const now = this.#ill.find(({ script }) => isOn(script, elapsed));
    return (now?.provider ?? this.#well).chat(attempt, handler);
  }

  async close(): Promise<void> {
    await Promise.all([this.#well, ...this.#ill.map(({ provider }) => provider)].map((provider) => provider.close()));
  }
}

function isOn({ fromMs, untilMs, everyMs }: ScriptedFault, elapsed: number): boolean {
  if (elapsed < fromMs || (untilMs !== undefined && elapsed >= untilMs)) return false;
  return everyMs === undefined || Math.floor((elapsed - fromMs) / everyMs) % 2 === 0;
}
