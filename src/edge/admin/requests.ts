import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { MizanError } from '../../core/errors.ts';
import type { RequestQuery } from '../../core/request-record.ts';
import { publicRequest } from '../../core/request-record.ts';
import type { EdgeContext } from '../http/context.ts';
import { readQuery } from './query.ts';

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
  const { tenant: _tenant, ...asked } = readQuery(query, expectations, request);
  const records = await context.requestHistory.list(request.tenantScope, asked as RequestQuery);
  const last = records.at(-1);
  const isFull = records.length === asked.limit;
  return { requests: records.map(publicRequest), next_before: isFull && last !== undefined ? last.id : null };
}

/** `GET /api/requests/ID`: one, with its attempts where there was more than one. */
export async function getRequest(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { id } = request.params as { id: string };
  const record = await context.requestHistory.find(request.tenantScope, id);
  if (record === undefined) throw new MizanError('not_found', `There is no request "${id.slice(0, 40)}".`);
  return publicRequest(record);
}
