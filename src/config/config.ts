import type { KeepRule, S3Settings } from '../core/backups.ts';
import type { NamedJob } from '../core/jobs.ts';
import type { PayloadPolicy } from '../core/payload.ts';
import type { Retention } from '../core/retention.ts';
import type { IssuerSettings } from '../core/issuer.ts';
import type { BudgetRule, LimitRule } from '../core/limit.ts';
import type { Secret } from '../core/secret.ts';
import type { StrategyName } from '../core/strategy-name.ts';
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
  readonly auth: { readonly jwt: JwtConfig; readonly issuers: readonly IssuerSettings[] };
  readonly security: { readonly masterKey: MasterKeyConfig };
  readonly egress: EgressConfig;
  readonly providers: Readonly<Record<string, ProviderConfig>>;
  readonly models: Readonly<Record<string, ModelConfig>>;
  readonly agents: Readonly<Record<string, AgentConfig>>;
  /** The agent of a request that names none; `null` only where there are no agents at all. */
  readonly defaultAgent: string | null;
  readonly limits: readonly LimitRule[];
  readonly budgets: readonly BudgetRule[];
  readonly limiting: LimitingConfig;
  /** Of requests to no agent, and the default of agents. */
  readonly payloads: PayloadPolicy;
  /** In days. */
  readonly retention: Retention;
  readonly cache: CacheConfig;
  readonly backup: BackupConfig;
  readonly schedule: ScheduleConfig;
  /** What is allowed and yet not what somebody may think, one sentence each. */
  readonly notes: readonly string[];
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
  /** Where Mizan may listen while a secret that it made itself is the only identity. */
  readonly generated: 'loopback' | 'anywhere';
}

/** Where the master key is: the first of these that is given, else `master.key` in the data folder. */
export interface MasterKeyConfig {
  readonly key: Secret<string> | null;
  /** A program and its arguments, which prints the key. */
  readonly command: readonly string[] | null;
  readonly file: string | null;
  /** The one before, while data keys are still wrapped with it. */
  readonly previous: Secret<string> | null;
}

export interface EgressConfig {
  /** Addresses, ranges and hosts that may be connected to though they are not public. */
  readonly allow: readonly string[];
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

export interface LimitingConfig {
  /** That share limits, at the least. */
  readonly machines: number;
  /** Who is told of budgets' alerts, by the names of `schedule.webhooks`. */
  readonly webhooks: readonly string[];
  /** For answers of which nobody knows how long they may be. */
  readonly assumedOutputTokens: number;
  /** How often tenants come where they wait, in comparison with those that are not named. */
  readonly weights: Readonly<Record<string, number>>;
  /** Waiting for room in a limit, at most so many ms; 0 for not at all. */
  readonly queue: { readonly waitMs: number; readonly max: number; readonly maxPerTenant: number };
  /** The lag of the event loop from which requests are refused, in ms; 0 for never. */
  readonly overload: { readonly lagMs: number };
}

export interface ModelConfig {
  readonly strategy: StrategyName;
  /** May be empty: such a model answers that it has no healthy instance. */
  readonly instances: readonly InstanceConfig[];
  /** Model ids, in the order in which they are turned to. */
  readonly fallbacks: FallbacksConfig;
  readonly timeouts: TimeoutsConfig;
  readonly health: HealthConfig;
  /** `waitMs` in ms. */
  readonly queue: { readonly max: number; readonly waitMs: number };
  /** `ratio` from 0 to 1. */
  readonly retries: { readonly attempts: number; readonly ratio: number };
  /** `null` for never. `afterMs` is `null` for the model's own 95th percentile; `maxShare` from 0 to 1. */
  readonly hedge: { readonly afterMs: number | null; readonly maxShare: number } | null;
  readonly resume: boolean;
  readonly cache: CacheRuleConfig;
}

export interface FallbacksConfig {
  readonly any: readonly string[];
  readonly contextLength: readonly string[];
  readonly contentPolicy: readonly string[];
}

export interface InstanceConfig {
  /** Unique within its model. */
  readonly id: string;
  readonly provider: string;
  /** In the upstream's own words. */
  readonly model: string;
  /** 1 to 1000. */
  readonly weight: number;
  /** 1 is asked first. */
  readonly priority: number;
  /** `null` for no limit; likewise below. */
  readonly maxInFlight: number | null;
  /** Per minute. */
  readonly rpm: number | null;
  readonly tpm: number | null;
  readonly tags: readonly string[];
  /** In tokens; `null` where it isn't known. */
  readonly contextLength: number | null;
  readonly maxOutputTokens: number | null;
  readonly capabilities: { readonly vision: boolean; readonly tools: boolean; readonly jsonSchema: boolean };
  /** `null` where the provider is to be asked for it. */
  readonly price: Price | null;
}

/** All in ms. */
export interface TimeoutsConfig {
  readonly connectMs: number;
  /** From the request being sent to the first byte of its answer. */
  readonly firstByteMs: number;
  /** From the request being sent to the first token of a streamed answer. */
  readonly firstTokenMs: number;
  /** Between two pieces of an answer. */
  readonly idleMs: number;
  /** Over all attempts of a request. */
  readonly totalMs: number;
}

/** Times in ms; `failureRate` from 0 to 1. */
export interface HealthConfig {
  readonly consecutiveFailures: number;
  readonly failureRate: number;
  readonly minRequests: number;
  readonly windowMs: number;
  readonly ejectionMs: number;
  readonly maxEjectionMs: number;
  readonly slowStartMs: number;
  readonly lockMs: number;
  readonly pauseMs: number;
  readonly maxPauseMs: number;
}

export interface AgentConfig {
  /** A model id, or `provider/upstream-model`. */
  readonly model: string;
  readonly system: string | null;
  /** Members of the request's body that the agent sets where the caller doesn't. */
  readonly params: Readonly<Record<string, unknown>>;
  readonly cache: CacheRuleConfig;
  readonly description: string | null;
  readonly payloads: PayloadPolicy;
}

/** What a model or an agent says of the cache; what it leaves out is as it is above it. Times in seconds. */
export interface CacheRuleConfig {
  readonly when?: 'off' | 'deterministic' | 'always';
  readonly private?: boolean;
  readonly ttl?: number;
  readonly toolCalls?: boolean;
  readonly staleWhileRevalidate?: number;
  readonly staleIfError?: number;
  /** In ms. */
  readonly paceMs?: number;
}

export interface CacheConfig extends Required<CacheRuleConfig> {
  readonly maxBytes: number;
  /** `null` for no limit. */
  readonly maxBytesPerTenant: number | null;
}

export interface BackupConfig {
  /** `null`: `backups` in the data folder. */
  readonly dir: string | null;
  readonly keep: KeepRule;
  /** `null` where nothing is uploaded. */
  readonly s3: S3Settings | null;
}

export interface ScheduleConfig {
  /** Of the IANA database. */
  readonly timezone: string;
  /** `auto`: bullmq where Redis is configured. */
  readonly driver: 'auto' | 'local' | 'bullmq';
  /** All that are there: those built in, too, and none that is switched off. */
  readonly jobs: readonly NamedJob[];
  readonly webhooks: Readonly<Record<string, WebhookConfig>>;
  readonly notify: {
    /** Names of webhooks. */
    readonly webhooks: readonly string[];
    readonly on: readonly ('failure' | 'late' | 'recovery')[];
    /** How long the same is not told again. */
    readonly repeatMs: number;
  };
  /** How many runs of one job may wait. */
  readonly maxWaiting: number;
  /** How long runs stay in the history. */
  readonly historyDays: number;
}

export interface WebhookConfig {
  readonly url: Secret<string>;
  /** `null`: its requests are not signed. */
  readonly secret: Secret<string> | null;
  readonly format: 'mizan' | 'slack';
  /** Whose jobs made over the API may post there; `*` for all. Those of the configuration may anyway. */
  readonly tenants: readonly string[];
}
