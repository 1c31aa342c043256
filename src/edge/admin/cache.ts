import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { everyTenant } from '../../core/request-record.ts';
import type { EdgeContext } from '../http/context.ts';
import { readQuery } from './query.ts';

const name = z.string().min(1).max(300);

const query = z.strictObject({
  agent: name.optional(),
  model: name.optional(),
  /** Read where the request was let in. */
  tenant: z.unknown().optional(),
});

const expectations = { agent: 'must be the name of an agent', model: 'must be the name of a model' };

/** `GET /api/cache`: what the tenant's answers take in the memory of this process. */
export async function showCache(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  readQuery(query.pick({ tenant: true }), {}, request);
  const tenant = request.tenantScope === everyTenant ? undefined : request.tenantScope;
  return context.flow.cache.holding(tenant);
}

/**
 * `DELETE /api/cache?agent=&model=&tenant=`: removes the tenant's answers, or some of them, in every process; not
 * `complete` while Redis can't be reached: then it is accepted (202), and done as soon as it can.
 */
export async function purgeCache(context: EdgeContext, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const { agent, model } = readQuery(query, expectations, request);
  const tenant = request.tenantScope === everyTenant ? undefined : request.tenantScope;
  const purged = await context.flow.cache.purge({ tenant, agent, model });
  const of = agent === undefined && model === undefined ? 'all' : `${agent ?? '*'}/${model ?? '*'}`;
  request.audit = { action: 'cache.purge', tenant: tenant ?? 'system', target: `cache:${of}`, after: purged };
  if (!purged.complete) void reply.code(202);
  return purged;
}
