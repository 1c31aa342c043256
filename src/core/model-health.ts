/** An instance of a model, as far as watching it goes. */
export interface WatchedInstance {
  readonly model: string;
  readonly instance: string;
  readonly provider: string;
  readonly providerKind: string;
  /** In the upstream's own words. */
  readonly upstreamModel: string;
}

/** `unknown`: nothing says whether it answers. */
export type CheckedState = 'up' | 'down' | 'unknown';

/** What somebody says of an instance. */
export interface Finding {
  readonly state: CheckedState;
  readonly latencyMs: number | null;
  /** In words of ours. */
  readonly detail: string | null;
}

/** The lengths of time that uptime is told for, in ms. */
export const uptimeWindows = { m5: 300_000, h1: 3_600_000, d1: 86_400_000 } as const;
export type UptimeWindow = keyof typeof uptimeWindows;

/** How an instance did when it was looked at last. */
export interface InstanceCheck {
  readonly model: string;
  readonly instance: string;
  readonly state: CheckedState;
  /** What says so: attempts of the last minutes, the provider's own statistics, or a question of ours. */
  readonly source: 'traffic' | 'statistics' | 'probe' | 'none';
  /** From the start of an attempt to its end, on average; to the first token where statistics say so. In ms. */
  readonly latencyMs: number | null;
  /** The share of attempts and questions that were answered, 0 to 1; `null` where there were none. */
  readonly uptime: { readonly [K in UptimeWindow]: number | null };
  readonly detail: string | null;
  /** How many looks in a row found it down. */
  readonly downs: number;
  /** In ms since the Unix epoch: since when it is in this state, and when it was looked at. */
  readonly since: number;
  readonly checkedAt: number;
}

/** What came of an instance's attempts in one minute; every process adds its own. */
export interface MinuteCount {
  readonly model: string;
  readonly instance: string;
  /** The minute's first ms since the Unix epoch. */
  readonly start: number;
  /** Attempts that were answered, and those that failed by the instance's fault. */
  readonly ok: number;
  readonly failed: number;
  /** How long those took that were answered, all together, in ms. */
  readonly okMs: number;
  /** Likewise questions of ours. */
  readonly asked: number;
  readonly unanswered: number;
}

/** Sums over minutes. */
export type CountSums = Omit<MinuteCount, 'start'>;

/** Where it is kept how instances do; the same for all processes. */
export interface ModelHealthStore {
  /** Adds to what is there. */
  add(counts: readonly MinuteCount[]): Promise<void>;
  /** Of every instance that has minutes that begin at `from` or later. */
  sums(from: number): Promise<CountSums[]>;
  checks(): Promise<InstanceCheck[]>;
  /** Takes the place of all checks there are. */
  note(checks: readonly InstanceCheck[]): Promise<void>;
  /** Removes minutes that began before. @returns How many. */
  prune(before: number): Promise<number>;
}

/** What was found of each instance, as far as it is known in this process; asked for at any time. */
export interface InstanceChecks {
  find(model: string, instance: string): InstanceCheck | undefined;
  all(): Iterable<InstanceCheck>;
}

/** Asks about instances that have no traffic. Nothing of it throws. */
export interface Probes {
  /** The provider's own figures; `null` where it has none. */
  statistics(instance: WatchedInstance, signal: AbortSignal): Promise<Finding | null>;
  /** Whether the provider lists its models. */
  list(instance: WatchedInstance, signal: AbortSignal): Promise<Finding>;
  /** One token. */
  chat(instance: WatchedInstance, signal: AbortSignal): Promise<Finding>;
}

/**
 * Whether routing is to go by a check that found its instance down: attempts of callers are proof enough; a question of
 * ours has to fail twice.
 */
export function isProven({ state, source, downs }: InstanceCheck): boolean {
  return state === 'down' && (source === 'traffic' || downs >= 2);
}

/** A check as it is shown outside. */
export function publicCheck(check: InstanceCheck) {
  return {
    state: check.state,
    source: check.source,
    latency_ms: check.latencyMs,
    uptime: check.uptime,
    detail: check.detail,
    since: new Date(check.since).toISOString(),
    checked_at: new Date(check.checkedAt).toISOString(),
  };
}
