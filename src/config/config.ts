import type { Secret } from '../core/secret.ts';
import type { Price } from '../core/usage.ts';
import type { CatalogueKind } from '../providers/catalogue.ts';
import type { SimulatorOptions } from '../providers/simulator/options.ts';

/**
 * The whole configuration: every default filled in, every reference checked, every `${NAME}` expanded.
 *
 * The records have no prototype, so that `config.agents[name]` is safe for a name that a caller sent.
 */
export interface Config {
  /** The file it was read from, as it was named; `null` where there is none. */
  readonly file: string | null;
  readonly server: ServerConfig;
  readonly log: { readonly level: LogLevel };
  /** `null`: SQLite in the data folder. */
  readonly database: { readonly url: Secret<string> | null };
  /** `null`: memory. */
  readonly redis: { readonly url: Secret<string> | null };
  readonly auth: { readonly jwt: JwtConfig };
  readonly providers: Readonly<Record<string, ProviderConfig>>;
  readonly models: Readonly<Record<string, ModelConfig>>;
  readonly agents: Readonly<Record<string, AgentConfig>>;
  /** The agent of a request that names none; `null` only where there are no agents at all. */
  readonly defaultAgent: string | null;
  readonly cache: CacheConfig;
  readonly schedule: ScheduleConfig;
  /** Paths that are set, and that this version accepts without acting on them (`models.fast.fallbacks`). */
  readonly withoutEffect: readonly string[];
}

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

export type LogLevel = (typeof logLevels)[number];

export interface ServerConfig {
  readonly host: string;
  /** 0 for any free port; likewise `metricsPort`. */
  readonly port: number;
  readonly metricsPort: number;
  readonly workers: number;
  /** In bytes. */
  readonly bodyLimit: number;
  readonly headersTimeoutMs: number;
  readonly shutdownTimeoutMs: number;
}

export interface JwtConfig {
  /** At least 32 bytes; `null` where one has to be made and kept in the data folder. */
  readonly secret: Secret<string> | null;
  readonly issuer: string;
  readonly audience: string;
}

export type ProviderConfig = UpstreamProviderConfig | SimulatorProviderConfig;

/** A service of the catalogue. */
export interface UpstreamProviderConfig {
  readonly kind: CatalogueKind;
  readonly apiKey: Secret<string> | null;
  /** The config's, else the catalogue's. With its path, without a slash at the end. */
  readonly baseUrl: string;
  /** What the config adds to every request. Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** By the upstream's own model names. */
  readonly prices: Readonly<Record<string, Price>>;
}

export interface SimulatorProviderConfig {
  readonly kind: 'simulator';
  readonly options: SimulatorOptions;
}

export interface ModelConfig {
  readonly strategy: 'round-robin';
  /** May be empty: such a model answers that it has no healthy instance. */
  readonly instances: readonly InstanceConfig[];
  /** Model ids. Not checked and without effect in this version. */
  readonly fallbacks: readonly string[];
  readonly timeouts: TimeoutsConfig;
}

export interface InstanceConfig {
  /** Unique within its model. */
  readonly id: string;
  readonly provider: string;
  /** In the upstream's own words. */
  readonly model: string;
  /** 1 to 1000. */
  readonly weight: number;
  /** `null` where the provider is to be asked for it. */
  readonly price: Price | null;
}

/** All in ms. */
export interface TimeoutsConfig {
  readonly connectMs: number;
  /** From the request being sent to the first byte of its answer. */
  readonly firstByteMs: number;
  /** Between two pieces of an answer. */
  readonly idleMs: number;
  /** Over all attempts of a request. */
  readonly totalMs: number;
}

export interface AgentConfig {
  /** A model id, or `provider/upstream-model`. */
  readonly model: string;
  readonly system: string | null;
  /** Members of the request's body that the agent sets where the caller doesn't. */
  readonly params: Readonly<Record<string, unknown>>;
  readonly description: string | null;
}

export interface CacheConfig {
  /** In seconds. */
  readonly ttl: number;
  readonly maxBytes: number;
}

export interface ScheduleConfig {
  /** Of the IANA database. */
  readonly timezone: string;
  readonly jobs: Readonly<Record<string, JobConfig>>;
}

export interface JobConfig {
  /** Five fields; it does fire. */
  readonly cron: string;
  /** How many of its products to keep; `null` where it isn't said. */
  readonly keep: number | null;
  readonly enabled: boolean;
}
