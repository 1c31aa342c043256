import type { TenantScope } from './request-record.ts';

/** A question about all requests of a time together. */
export interface OverviewQuery {
  /** In ms since the Unix epoch: from the first, up to and without the second. Widened to whole steps. */
  readonly from: number;
  readonly to: number;
  readonly agent?: string | undefined;
  readonly model?: string | undefined;
  readonly instance?: string | undefined;
}

/** Sums over some requests. */
export interface Sums {
  readonly requests: number;
  /** Those that ended with an error, whoever's fault it was. */
  readonly errors: number;
  /** As upstreams counted them; cached answers used none. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Of those whose cost is known. */
  readonly costUsd: number;
  /** From arrival to the end, in ms, right to 5 %; `null` where there were none. */
  readonly latencyMs: { readonly p50: number | null; readonly p95: number | null; readonly p99: number | null };
}

/** Requests by a name; `''` for those that had none. */
export interface NamedSums extends Sums {
  readonly name: string;
}

export interface Overview {
  readonly from: number;
  readonly to: number;
  /** How long each step of the series is, in seconds. */
  readonly step: number;
  readonly total: Sums;
  /** Oldest first; steps without a request are left out. */
  readonly series: readonly (Sums & { readonly time: number })[];
  /** Most requests first, a hundred at most. */
  readonly agents: readonly NamedSums[];
  readonly models: readonly NamedSums[];
  readonly instances: readonly (NamedSums & { readonly model: string })[];
}

/** Where sums over requests are read. */
export interface Overviews {
  overview(scope: TenantScope, query: OverviewQuery): Promise<Overview>;
}
