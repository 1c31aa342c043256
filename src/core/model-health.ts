/** An instance of a model, as far as watching it goes. */
export interface WatchedInstance {
  readonly model: string;
  readonly instance: string;
  readonly provider: string;
  readonly providerKind: string;
  /** In the upstream's own words. */
  readonly upstreamModel: string;
}

/** What somebody says of an instance. */
export interface Finding {
  /** `unknown`: it says nothing of whether the instance answers. */
  readonly state: 'up' | 'down' | 'unknown';
  readonly latencyMs: number | null;
  /** In words of ours. */
  readonly detail: string | null;
}

/** How an instance does. */
export interface InstanceReport {
  readonly model: string;
  readonly instance: string;
  readonly state: 'up' | 'down' | 'unknown';
  /** Requests of the last minutes, the provider's own statistics, or a question of ours. */
  readonly source: 'traffic' | 'statistics' | 'probe' | 'none';
  readonly latency_ms: number | null;
  /** The share of requests without an error in the last 5 minutes, hour and day; `null` where there were none. */
  readonly uptime: { readonly m5: number | null; readonly h1: number | null; readonly d1: number | null };
  readonly detail: string | null;
}

/** Asks about instances that have no traffic. Nothing of it throws. */
export interface Probes {
  /** The provider's own figures; `null` where it has none. */
  statistics(instance: WatchedInstance): Promise<Finding | null>;
  /** Whether the provider lists its models. */
  list(instance: WatchedInstance): Promise<Finding>;
  /** One token. */
  chat(instance: WatchedInstance, signal: AbortSignal): Promise<Finding>;
}
