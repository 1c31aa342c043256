import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { MizanError } from '../../core/errors.ts';
import type { EdgeContext } from '../http/context.ts';
import { readQuery } from './query.ts';
import { sendJson } from './send-json.ts';

const dayMs = 86_400_000;

const time = z.union([
  z.iso.datetime({ offset: true }).transform((written) => Date.parse(written)),
  z.coerce.number().int().min(0).max(8.64e15),
]);
const name = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\0]*$/);

const query = z.strictObject({
  from: time.optional(),
  to: time.optional(),
  agent: name.optional(),
  model: name.optional(),
  instance: name.optional(),
  /** Read where the request was let in. */
  tenant: z.unknown().optional(),
});

const expectations: Readonly<Record<string, string>> = {
  from: 'must be a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970',
  to: 'must be a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970',
  agent: 'must be the name of an agent',
  model: 'must be the name of a model',
  instance: 'must be the name of an instance',
};

/** `GET /api/overview?from=&to=&agent=&model=&instance=`: the principal's tenant's requests, summed up. */
export async function getOverview(
  context: EdgeContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { from, to = context.flow.clock.now(), tenant: _tenant, ...names } = readQuery(query, expectations, request);
  const asked = { from: from ?? to - dayMs, to, ...names };
  if (asked.from >= asked.to) throw new MizanError('invalid_request', 'from must be before to.', { param: 'from' });
  return sendJson(reply, await context.overviews.overviewJson(request.tenantScope, asked));
}
