import { picosOf, usdOf } from './money.ts';
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
  /** An overview in JSON, as it is shown outside. What it is of may be some seconds ago: `as_of` says when. */
  overviewJson(scope: TenantScope, query: OverviewQuery): Promise<string>;
}

/** An overview as it is shown outside. @param asOf When it was read, in ms since the Unix epoch. */
export function publicOverview(overview: Overview, asOf: number) {
  const { from, to, step, total, series, agents, models, instances } = overview;
  return {
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    as_of: new Date(asOf).toISOString(),
    step_seconds: step,
    total: publicSums(total),
    series: series.map((sums) => ({ time: new Date(sums.time).toISOString(), ...publicSums(sums) })),
    agents: agents.map(publicNamed),
    models: models.map(publicNamed),
    instances: instances.map((sums) => ({ model: sums.model === '' ? null : sums.model, ...publicNamed(sums) })),
  };
}

function publicNamed(sums: NamedSums) {
  return { name: sums.name === '' ? null : sums.name, ...publicSums(sums) };
}

function publicSums({ requests, errors, inputTokens, outputTokens, costUsd, latencyMs }: Sums) {
  const { p50, p95, p99 } = latencyMs;
  return {
    requests,
    errors,
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    // Sums of doubles have digits that nobody paid.
    cost_usd: usdOf(picosOf(costUsd)),
    latency_ms: { p50: rounded(p50), p95: rounded(p95), p99: rounded(p99) },
  };
}

/** To a tenth of a millisecond; more than is known of it. */
function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 10) / 10;
}
