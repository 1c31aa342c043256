import type { RequestRecord } from '../../src/core/request-record.ts';

/** A row of the request log. */
export function requestRecord(over: Partial<RequestRecord> = {}): RequestRecord {
  return {
    id: 'req_01aryz6s410000000000000000',
    time: Date.UTC(2026, 0, 1),
    tenant: 'acme',
    principal: 'someone',
    agent: 'assistant',
    model: 'fast',
    instance: 'a',
    provider: 'sim',
    stream: false,
    status: 200,
    errorCode: null,
    errorMessage: null,
    attempts: 1,
    cache: 'bypass',
    inputTokens: 12,
    outputTokens: 3,
    costUsd: 0.000_01,
    usageSource: 'upstream',
    gatewayMs: 0.25,
    upstreamMs: 120.5,
    queuedMs: null,
    firstTokenMs: null,
    finishReason: 'stop',
    resumed: 0,
    session: null,
    tags: null,
    trail: null,
    ...over,
  };
}
