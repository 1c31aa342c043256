import type { Kysely, Selectable } from 'kysely';
import type { CacheResult, RequestHistory, RequestQuery, RequestRecord, TenantScope } from '../../core/request-record.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { TrailStep } from '../../core/trail.ts';
import type { AttemptsTable, Database, RequestsTable } from '../schema.ts';

/** Reads the request log, newest first. */
export class SqliteRequestHistory implements RequestHistory {
  readonly #database: Kysely<Database>;

  constructor(database: Kysely<Database>) {
    this.#database = database;
  }

  async list(scope: TenantScope, query: RequestQuery): Promise<RequestRecord[]> {
    let select = this.#database.selectFrom('requests').selectAll().orderBy('id', 'desc').limit(query.limit);
    if (scope !== everyTenant) select = select.where('tenant', '=', scope);
    if (query.before !== undefined) select = select.where('id', '<', query.before);
    if (query.agent !== undefined) select = select.where('agent', '=', query.agent);
    if (query.status !== undefined) select = select.where('status', '=', query.status);
    return (await select.execute()).map((row) => recordOf(row, null));
  }

  async find(scope: TenantScope, id: string): Promise<RequestRecord | undefined> {
    let select = this.#database.selectFrom('requests').selectAll().where('id', '=', id);
    if (scope !== everyTenant) select = select.where('tenant', '=', scope);
    const row = await select.executeTakeFirst();
    if (row === undefined) return undefined;
    const steps = this.#database.selectFrom('attempts').selectAll().where('request_id', '=', id).orderBy('seq');
    return recordOf(row, (await steps.execute()).map(stepOf));
  }
}

function recordOf(row: Selectable<RequestsTable>, trail: readonly TrailStep[] | null): RequestRecord {
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
    attempts: row.attempts,
    cache: row.cache as CacheResult,
    inputTokens: row.input_tokens,
    outputTokens: row.output_tokens,
    costUsd: row.cost_usd,
    usageSource: row.usage_source as RequestRecord['usageSource'],
    gatewayMs: row.gateway_ms,
    upstreamMs: row.upstream_ms,
    firstTokenMs: row.first_token_ms,
    finishReason: row.finish_reason,
    resumed: row.resumed,
    trail,
  };
}

function stepOf(row: Selectable<AttemptsTable>): TrailStep {
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
