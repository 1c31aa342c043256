import type { Charge } from './limit.ts';
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
  /** What went wrong in Mizan's own words, at most 500 characters of them. */
  readonly errorMessage: string | null;
  readonly attempts: number;
  readonly cache: CacheResult;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly costUsd: number | null;
  readonly usageSource: 'upstream' | 'received' | 'none';
  /** Time in Mizan itself, in ms; that of waiting for room included. */
  readonly gatewayMs: number;
  /** How long it waited for room in limits, in ms; `null` where it didn't. */
  readonly queuedMs: number | null;
  /** Time until the last attempt's upstream was done, over all attempts, in ms. */
  readonly upstreamMs: number;
  readonly firstTokenMs: number | null;
  readonly finishReason: string | null;
  /** How often another instance took up the answer after it had broken off. */
  readonly resumed: number;
  /** The conversation it belongs to, where the caller named one; at most 200 characters of it. */
  readonly session: string | null;
  /** The caller's own notes; `null` where there are none. */
  readonly tags: Tags | null;
  /** All attempts, where there was more than one; `null` where there wasn't, or where they weren't asked for. */
  readonly trail: readonly TrailStep[] | null;
  /** What its attempts cost the budgets; goes into the ledger, in the same transaction, and is not read back. */
  readonly charges?: readonly Charge[];
}

/** From a caller's `metadata`: at most 16, names of at most 64 characters, values of at most 512. */
export type Tags = Readonly<Record<string, string>>;

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
  readonly before?: string | undefined;
  /** Only records newer than this id, and the oldest of those. The page is newest first all the same. */
  readonly after?: string | undefined;
  /** When they arrived, in ms since the Unix epoch: from the first, up to and without the second. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  readonly agent?: string | undefined;
  readonly model?: string | undefined;
  readonly instance?: string | undefined;
  readonly session?: string | undefined;
  readonly status?: number | undefined;
  /** A part of the error's code or message, in upper or lower case. */
  readonly error?: string | undefined;
  /** In ms, from arrival to the end. */
  readonly minLatencyMs?: number | undefined;
  readonly minCostUsd?: number | undefined;
  readonly tag?: { readonly name: string; readonly value: string } | undefined;
}

/** Every tenant's records: for the operator at the machine, and for identities whose scope is `any`. */
export const everyTenant = Symbol('every tenant');

/** Whose records are read. A query without it doesn't type-check. */
export type TenantScope = string | typeof everyTenant;

/** A page of records as it is shown outside. */
export interface RequestPage {
  /** The records, newest first, as an array in JSON. */
  readonly json: string;
  readonly count: number;
  /** The ids of the first and the last; `null` where it has none. */
  readonly newest: string | null;
  readonly oldest: string | null;
}

/** What the administration reads. */
export interface RequestHistory {
  list(scope: TenantScope, query: RequestQuery): Promise<RequestRecord[]>;
  /** The same in JSON, which is made where it was read. */
  page(scope: TenantScope, query: RequestQuery): Promise<RequestPage>;
  /** Whose there are. */
  tenants(): Promise<string[]>;
  /** How many a tenant has. Looks at all of them. */
  count(tenant: string): Promise<number>;
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
    error_message: record.errorMessage,
    attempts: record.attempts,
    cache: record.cache,
    usage: {
      input_tokens: record.inputTokens,
      output_tokens: record.outputTokens,
      cost_usd: record.costUsd,
      source: record.usageSource,
    },
    gateway_ms: round(record.gatewayMs),
    queued_ms: record.queuedMs === null ? null : round(record.queuedMs),
    upstream_ms: round(record.upstreamMs),
    first_token_ms: record.firstTokenMs === null ? null : round(record.firstTokenMs),
    finish_reason: record.finishReason,
    resumed: record.resumed,
    session: record.session,
    tags: record.tags,
    trail: record.trail?.map(publicStep) ?? null,
  };
}

export function pageOf(records: readonly RequestRecord[]): RequestPage {
  return {
    json: JSON.stringify(records.map(publicRequest)),
    count: records.length,
    newest: records[0]?.id ?? null,
    oldest: records.at(-1)?.id ?? null,
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
