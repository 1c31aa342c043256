import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { MizanError } from '../../core/errors.ts';
import { publicPayload } from '../../core/payload.ts';
import { includesRole } from '../../core/principal.ts';
import type { RequestQuery } from '../../core/request-record.ts';
import { publicRequest } from '../../core/request-record.ts';
import type { EdgeContext } from '../http/context.ts';
import { readQuery } from './query.ts';
import { sendJson } from './send-json.ts';

/** No more than names and sessions have; without U+0000, which one of the databases can't compare. */
const text = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\0]*$/);
const time = z.union([
  z.iso.datetime({ offset: true }).transform((written) => Date.parse(written)),
  z.coerce.number().int().min(0).max(8.64e15),
]);
const amount = z.coerce.number().min(0);
const requestId = z.string().regex(/^req_[0-9a-z]{26}$/);

const query = z.strictObject({
  /** Read where the request was let in. */
  tenant: z.unknown().optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(10),
  agent: text.optional(),
  model: text.optional(),
  instance: text.optional(),
  session: text.optional(),
  status: z.coerce.number().int().min(100).max(599).optional(),
  error: text.optional(),
  from: time.optional(),
  to: time.optional(),
  min_latency_ms: amount.optional(),
  min_cost_usd: amount.optional(),
  tag: z
    .string()
    .max(600)
    .regex(/^[^\0:]{1,64}:[^\0]*$/)
    .optional(),
  before: requestId.optional(),
  after: requestId.optional(),
});

const expectations: Readonly<Record<string, string>> = {
  limit: 'must be a whole number from 1 to 1000',
  agent: 'must be the name of an agent',
  status: 'must be an HTTP status from 100 to 599',
  model: 'must be the name of a model',
  instance: 'must be the name of an instance',
  session: 'must be a text of 1 to 200 characters',
  error: 'must be a text of 1 to 200 characters',
  from: 'must be a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970',
  to: 'must be a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970',
  min_latency_ms: 'must be a number of milliseconds',
  min_cost_usd: 'must be a number of US dollars',
  tag: 'must be a name and a value with a colon between, name:value',
  before: 'must be the id of a request, req_…',
  after: 'must be the id of a request, req_…',
};

/** `GET /api/requests?limit=10&agent=&status=&…&before=ID`: the principal's tenant's, newest first. */
export async function listRequests(
  context: EdgeContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const asked = queryOf(readQuery(query, expectations, request));
  const { json, count, newest, oldest } = await context.requestHistory.page(request.tenantScope, asked);
  const isForwards = asked.after !== undefined && asked.before === undefined;
  const isFull = count === asked.limit;
  // Where the page was asked for by what is older, there is something older.
  const before = JSON.stringify(isFull || isForwards ? oldest : null);
  const after = JSON.stringify(newest ?? asked.after ?? null);
  return sendJson(reply, `{"requests":${json},"next_before":${before},"next_after":${after}}`);
}

function queryOf(given: z.output<typeof query>): RequestQuery {
  const { min_latency_ms: minLatencyMs, min_cost_usd: minCostUsd, tag: written, tenant: _tenant, ...rest } = given;
  const colon = written?.indexOf(':') ?? -1;
  const tag = written === undefined ? undefined : { name: written.slice(0, colon), value: written.slice(colon + 1) };
  return { ...rest, minLatencyMs, minCostUsd, tag };
}

/**
 * `GET /api/requests/ID`: one, with its attempts where there was more than one. What was said is for operators of the
 * very tenant, whatever the scope.
 */
export async function getRequest(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { id } = request.params as { id: string };
  // PostgreSQL has no texts with U+0000, and refuses the question.
  const record = id.includes('\0') ? undefined : await context.requestHistory.find(request.tenantScope, id);
  if (record === undefined) throw new MizanError('not_found', `There is no request "${id.slice(0, 40)}".`);
  const { principal } = request;
  if (!includesRole(principal.role, 'operator') || principal.tenant !== record.tenant) return publicRequest(record);
  const payload = await context.payloadHistory.find(record.tenant, id);
  return { ...publicRequest(record), payload: payload === undefined ? null : publicPayload(payload) };
}
