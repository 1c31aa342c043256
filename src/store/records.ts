import type { Selectable } from 'kysely';
import type { CacheResult, RequestRecord } from '../core/request-record.ts';
import type { TrailStep } from '../core/trail.ts';
import type { AttemptsTable, RequestsTable } from './schema.ts';

/** A row of `requests` as the record that it holds. */
export function recordOf(row: Selectable<RequestsTable>, trail: readonly TrailStep[] | null): RequestRecord {
  return {
    id: row.id,
    time: row.time,
    tenant: row.tenant,
    principal: row.principal,
    agent: row.agent,
    model: row.model,
    instance: row.instance,
    provider: row.provider,
    stream: row.stream === 1,
    status: row.status,
    errorCode: row.error_code,
    errorMessage: row.error_message,
    attempts: row.attempts,
    cache: row.cache as CacheResult,
    inputTokens: row.input_tokens,
    outputTokens: row.output_tokens,
    costUsd: row.cost_usd,
    usageSource: row.usage_source as RequestRecord['usageSource'],
    gatewayMs: row.gateway_ms,
    queuedMs: row.queued_ms,
    upstreamMs: row.upstream_ms,
    firstTokenMs: row.first_token_ms,
    finishReason: row.finish_reason,
    resumed: row.resumed,
    session: row.session,
    tags: row.tags === null ? null : (JSON.parse(row.tags) as Record<string, string>),
    trail,
  };
}

export function stepOf(row: Selectable<AttemptsTable>): TrailStep {
  return {
    model: row.model,
    instance: row.instance,
    provider: row.provider,
    purpose: row.purpose as TrailStep['purpose'],
    outcome: row.outcome as TrailStep['outcome'],
    detail: row.detail,
    startedMs: row.started_ms,
    durationMs: row.duration_ms,
  };
}
