import type { Kysely, Selectable } from 'kysely';
import type {
  CacheResult,
  RequestHistory,
  RequestQuery,
  RequestRecord,
  TenantScope,
} from '../../core/request-record.ts';
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
    if (scope !== everyTenant) return this.#listOf(scope, query);
    const lists = await Promise.all((await this.#tenants()).map((tenant) => this.#listOf(tenant, query)));
    const newestFirst = lists.flat().toSorted((a, b) => (a.id < b.id ? 1 : -1));
    return newestFirst.slice(0, query.limit);
  }

  async find(scope: TenantScope, id: string): Promise<RequestRecord | undefined> {
    const tenants = scope === everyTenant ? await this.#tenants() : [scope];
    const select = this.#database.selectFrom('requests').selectAll().where('tenant', 'in', tenants);
    const row = await select.where('id', '=', id).executeTakeFirst();
    if (row === undefined) return undefined;
    const attempts = this.#database.selectFrom('attempts').selectAll().where('request_id', '=', id).orderBy('seq');
    const trail = (await attempts.execute()).map(stepOf);
    return recordOf(row, trail.length === 0 ? null : trail);
  }

  async #listOf(tenant: string, query: RequestQuery): Promise<RequestRecord[]> {
    let select = this.#database.selectFrom('requests').selectAll().where('tenant', '=', tenant);
    if (query.before !== undefined) select = select.where('id', '<', query.before);
    if (query.agent !== undefined) select = select.where('agent', '=', query.agent);
    if (query.status !== undefined) select = select.where('status', '=', query.status);
    const rows = await select.orderBy('id', 'desc').limit(query.limit).execute();
    return rows.map((row) => recordOf(row, null));
  }

  /** All that have a row, by leaping from one to the next: as many steps as tenants, not as rows. */
  async #tenants(): Promise<string[]> {
    const tenants: string[] = [];
    for (;;) {
      let select = this.#database.selectFrom('requests').select('tenant').orderBy('tenant').limit(1);
      const last = tenants.at(-1);
      if (last !== undefined) select = select.where('tenant', '>', last);
      const next = await select.executeTakeFirst();
      if (next === undefined) return tenants;
      tenants.push(next.tenant);
    }
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
