import type { TrailStep } from './trail.ts';

/** One row of the request log: what was asked of whom, what came of it and what it cost. Never what was said. */
export interface RequestRecord {
  readonly id: string;
  /** When it arrived, in ms since the Unix epoch. */
  readonly time: number;
  readonly tenant: string;
  readonly principal: string;
  readonly agent: string | null;
  /** The model id of the config, or `provider/upstream-model` where it was called directly. */
  readonly model: string | null;
  readonly instance: string | null;
  readonly provider: string | null;
  readonly stream: boolean;
  /** HTTP status; 499 where the caller left, and the error's own where a stream broke after its 200. */
  readonly status: number;
  readonly errorCode: string | null;
  readonly attempts: number;
  readonly cache: CacheResult;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly costUsd: number | null;
  readonly usageSource: 'upstream' | 'received' | 'none';
  /** Time in Mizan itself, in ms. */
  readonly gatewayMs: number;
  /** Time until the last attempt's upstream was done, over all attempts, in ms. */
  readonly upstreamMs: number;
  readonly firstTokenMs: number | null;
  readonly finishReason: string | null;
  /** How often another instance took up the answer after it had broken off. */
  readonly resumed: number;
  /** All attempts, where there was more than one; `null` where there wasn't, or where they weren't asked for. */
  readonly trail: readonly TrailStep[] | null;
}

export type CacheResult = 'hit' | 'miss' | 'coalesced' | 'bypass';

/** Where the flow leaves its records. */
export interface RequestLog {
  /** Resolves once the record is committed. It never rejects: a log that is away must not fail an answer. */
  append(record: RequestRecord): Promise<void>;
  /** Records that are not committed yet. */
  readonly pending: number;
}

export interface RequestQuery {
  /** At most so many, newest first; 1 to 1000. */
  readonly limit: number;
  /** Only records older than this id. */
  readonly before?: string;
  readonly agent?: string;
  readonly status?: number;
}

/** Every tenant's records: for the operator at the machine, and for identities whose scope is `any`. */
export const everyTenant = Symbol('every tenant');

/** Whose records are read. A query without it doesn't type-check. */
export type TenantScope = string | typeof everyTenant;

/** What the administration reads. */
export interface RequestHistory {
  list(scope: TenantScope, query: RequestQuery): Promise<RequestRecord[]>;
  /** One of them, with its attempts where there was more than one. */
  find(scope: TenantScope, id: string): Promise<RequestRecord | undefined>;
}

/** A record as it is shown outside: by the API, and by commands that print JSON. */
export function publicRequest(record: RequestRecord) {
  return {
    id: record.id,
    time: new Date(record.time).toISOString(),
    tenant: record.tenant,
    principal: record.principal,
    agent: record.agent,
    model: record.model,
    instance: record.instance,
    provider: record.provider,
    stream: record.stream,
    status: record.status,
    error_code: record.errorCode,
    attempts: record.attempts,
    cache: record.cache,
    usage: {
      input_tokens: record.inputTokens,
      output_tokens: record.outputTokens,
      cost_usd: record.costUsd,
      source: record.usageSource,
    },
    gateway_ms: round(record.gatewayMs),
    upstream_ms: round(record.upstreamMs),
    first_token_ms: record.firstTokenMs === null ? null : round(record.firstTokenMs),
    finish_reason: record.finishReason,
    resumed: record.resumed,
    trail: record.trail?.map(publicStep) ?? null,
  };
}

function publicStep(step: TrailStep) {
  return {
    model: step.model,
    instance: step.instance,
    provider: step.provider,
    purpose: step.purpose,
    outcome: step.outcome,
    detail: step.detail,
    started_ms: round(step.startedMs),
    duration_ms: round(step.durationMs),
  };
}

/** To a hundredth of a millisecond. */
function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
