import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { MizanError } from '../../core/errors.ts';
import { didYouMean } from '../../core/nearest.ts';
import type { RequestQuery } from '../../core/request-record.ts';
import { publicRequest } from '../../core/request-record.ts';
import type { EdgeContext } from '../http/context.ts';

const query = z.strictObject({
  /** Read where the request was let in. */
  tenant: z.unknown().optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(10),
  agent: z.string().min(1).max(100).optional(),
  status: z.coerce.number().int().min(100).max(599).optional(),
  before: z
    .string()
    .regex(/^req_[0-9a-z]{26}$/)
    .optional(),
});

const expectations: Readonly<Record<string, string>> = {
  limit: 'must be a whole number from 1 to 1000',
  agent: 'must be the name of an agent',
  status: 'must be an HTTP status from 100 to 599',
  before: 'must be the id of a request, req_…',
};

/** `GET /api/requests?limit=10&agent=&status=&before=ID`: the tenant's, newest first. */
export async function listRequests(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const parsed = query.safeParse(withoutEmpty(request.query as Record<string, unknown>));
  if (!parsed.success) throw refusal(parsed.error.issues[0]);
  const { tenant: _tenant, ...wanted } = parsed.data;
  const records = await context.requestHistory.list(request.tenantScope, wanted as RequestQuery);
  const last = records.at(-1);
  const isFull = records.length === parsed.data.limit;
  return { requests: records.map(publicRequest), next_before: isFull && last !== undefined ? last.id : null };
}

/** `GET /api/requests/ID`: one, with its attempts where there was more than one. */
export async function getRequest(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { id } = request.params as { id: string };
  const record = await context.requestHistory.find(request.tenantScope, id);
  if (record === undefined) throw new MizanError('not_found', `There is no request "${id.slice(0, 40)}".`);
  return publicRequest(record);
}

/** `?agent=&status=` is how forms send what was not filled in. */
function withoutEmpty(given: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''));
}

function refusal(issue: z.core.$ZodIssue | undefined): MizanError {
  if (issue?.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const hint = didYouMean(key, Object.keys(query.shape));
    return new MizanError('invalid_request', `There is no query parameter "${key.slice(0, 100)}".${hint}`, {
      param: key,
    });
  }
  const param = String(issue?.path[0] ?? '');
  return new MizanError('invalid_request', `${param} ${expectations[param] ?? 'is not as expected'}.`, { param });
}
