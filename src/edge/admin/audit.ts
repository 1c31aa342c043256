import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { publicAuditEntry, publicElsewhere } from '../../core/audit.ts';
import { MizanError } from '../../core/errors.ts';
import type { EdgeContext } from '../http/context.ts';
import { readQuery } from './query.ts';

/** The `seq` of an entry of the asked machine's log. */
const seq = z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

/** Where an entry stands among those of all machines: time, log, `seq`, and the beginning of its `mac`. */
const place = z.string().regex(/^\d{1,16}_[0-9a-f]{16}_\d{1,16}_[0-9a-f]{16}$/);

const query = z.strictObject({
  /** Read where the request was let in. */
  tenant: z.unknown().optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(10),
  everywhere: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .default(false),
  before: z.union([seq, place]).optional(),
});

const expectations = {
  limit: 'must be a whole number from 1 to 1000',
  everywhere: 'must be true or false',
  before: 'must be the seq of an entry, or with everywhere=true a next_before',
};

/**
 * `GET /api/audit?limit=10&before=SEQ&everywhere=true`: what was done to the tenant, and what it was denied, newest first;
 * of the asked machine, or of all on the same database.
 */
export async function listAudit(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { limit, everywhere, before } = readQuery(query, expectations, request);
  const { auditHistory: history } = context;
  if (everywhere) {
    if (typeof before === 'number') throw mistaken('with everywhere=true must be a next_before of the same');
    const found = await history.everywhere(request.tenantScope, before === undefined ? { limit } : { limit, before });
    const last = found.length === limit ? found.at(-1) : undefined;
    return { entries: found.map(publicElsewhere), next_before: last?.place ?? null };
  }
  if (typeof before === 'string') throw mistaken('must be the seq of an entry');
  const entries = await history.list(request.tenantScope, before === undefined ? { limit } : { limit, before });
  const last = entries.length === limit ? entries.at(-1) : undefined;
  return { entries: entries.map(publicAuditEntry), next_before: last?.seq ?? null };
}

function mistaken(expected: string): MizanError {
  return new MizanError('invalid_request', `before ${expected}.`, { param: 'before' });
}
