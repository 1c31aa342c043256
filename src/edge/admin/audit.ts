import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { AuditQuery } from '../../core/audit.ts';
import { publicAuditEntry } from '../../core/audit.ts';
import type { EdgeContext } from '../http/context.ts';
import { readQuery } from './query.ts';

const query = z.strictObject({
  /** Read where the request was let in. */
  tenant: z.unknown().optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(10),
  before: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
});

const expectations = { limit: 'must be a whole number from 1 to 1000', before: 'must be the seq of an entry' };

/** `GET /api/audit?limit=10&before=SEQ`: what was done to the tenant, and what it was denied, newest first. */
export async function listAudit(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { tenant: _tenant, ...asked } = readQuery(query, expectations, request);
  const entries = await context.auditHistory.list(request.tenantScope, asked as AuditQuery);
  const last = entries.at(-1);
  const isFull = entries.length === asked.limit;
  return { entries: entries.map(publicAuditEntry), next_before: isFull && last !== undefined ? last.seq : null };
}
