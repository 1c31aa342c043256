import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { MizanError } from '../../core/errors.ts';
import type { NamedSums, Overview, Sums } from '../../core/overview.ts';
import type { EdgeContext } from '../http/context.ts';
import { readQuery } from './query.ts';

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
export async function getOverview(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { from, to = context.flow.clock.now(), tenant: _tenant, ...names } = readQuery(query, expectations, request);
  const asked = { from: from ?? to - dayMs, to, ...names };
  if (asked.from >= asked.to) throw new MizanError('invalid_request', 'from must be before to.', { param: 'from' });
  return publicOverview(await context.overviews.overview(request.tenantScope, asked));
}

function publicOverview({ from, to, step, total, series, agents, models, instances }: Overview) {
  return {
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    step_seconds: step,
    total: publicSums(total),
    series: series.map((sums) => ({ time: new Date(sums.time).toISOString(), ...publicSums(sums) })),
    agents: agents.map(publicNamed),
    models: models.map(publicNamed),
    instances: instances.map((sums) => ({ model: sums.model === '' ? null : sums.model, ...publicNamed(sums) })),
  };
}

function publicNamed(sums: NamedSums) {
  return { name: sums.name === '' ? null : sums.name, ...publicSums(sums) };
}

function publicSums({ requests, errors, inputTokens, outputTokens, costUsd, latencyMs }: Sums) {
  const { p50, p95, p99 } = latencyMs;
  return {
    requests,
    errors,
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    cost_usd: costUsd,
    latency_ms: { p50: rounded(p50), p95: rounded(p95), p99: rounded(p99) },
  };
}

/** To a tenth of a millisecond; more than is known of it. */
function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 10) / 10;
}
