import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { byRule, meterIdOf, rulesOfKeyLimits, subjectOf } from '../../core/budget-report.ts';
import type { LimitRule } from '../../core/limit.ts';
import { MizanError } from '../../core/errors.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { LimitMeter } from '../../flow/limits/meter.ts';
import type { EdgeContext } from '../http/context.ts';
import { orNull, readBody } from './body.ts';
import {
  audited,
  checkFree,
  created,
  isTheirs,
  removeRule,
  ruleName,
  targetExpectations,
  targetFields,
  targetOf,
} from './limit-rules.ts';

const count = orNull(z.int().min(1).max(1_000_000_000));

const newLimit = z.strictObject({ name: ruleName, ...targetFields, rpm: count, tpm: count, max_in_flight: count });

const expectations = {
  ...targetExpectations,
  rpm: 'must be a whole number of requests per minute, or null',
  tpm: 'must be a whole number of tokens per minute, or null',
  max_in_flight: 'must be a whole number of requests at the same time, or null',
};

/** `GET /api/limits`: all limits with what is used of them, those of API keys last. */
export async function listLimits(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { limits } = context.flow.limiter.rules;
  const ofKeys = context.apiKeys
    .list(request.tenantScope)
    .filter(({ revokedAt }) => revokedAt === null)
    .flatMap(({ id, limits: own }) => rulesOfKeyLimits(id, own).limit ?? []);
  const shown = limits.filter((rule) => isTheirs(request, rule) || rule.for.tenant === '*');
  const meters = byRule(context.flow.limiter.meters.limits, ({ id }) => id);
  return { limits: [...shown, ...ofKeys].map((rule) => publicLimit(context, request, { rule, meters })) };
}

/** `POST /api/limits`: makes a limit, or changes the one of that name. It counts at once. */
export async function putLimit(context: EdgeContext, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const given = readBody(newLimit, request, expectations);
  const { rpm, tpm, max_in_flight: maxInFlight } = given;
  if (rpm === null && tpm === null && maxInFlight === null) {
    throw new MizanError('invalid_request', 'Give at least one of rpm, tpm and max_in_flight.', { param: 'rpm' });
  }
  const { name, target } = targetOf(context, request, given);
  const { limits } = context.flow.limiter.rules;
  checkFree(limits, name);
  const before = limits.find((rule) => rule.name === name);
  const rule: LimitRule = { name, source: 'api', for: target, rpm, tpm, maxInFlight };
  context.limitRules.putLimit(rule, context.flow.clock.now());
  const meters = byRule(context.flow.limiter.meters.limits, ({ id }) => id);
  const after = publicLimit(context, request, { rule, meters });
  request.audit = { action: 'limit.put', ...audited('limit', rule), before: before ?? null, after: rule };
  created(reply);
  return after;
}

/** `DELETE /api/limits/NAME` */
export async function removeLimit(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const rule = removeRule(context, request, 'limit');
  request.audit = { action: 'limit.remove', ...audited('limit', rule), before: rule, after: null };
  return { name: rule.name, removed: true };
}

function publicLimit(
  context: EdgeContext,
  request: FastifyRequest,
  { rule, meters }: { readonly rule: LimitRule; readonly meters: ReadonlyMap<string, readonly LimitMeter[]> },
) {
  const monotonic = context.flow.clock.monotonic();
  const uses = (meters.get(meterIdOf('limits', rule)) ?? [])
    .map((meter) => ({
      for: subjectOf(meter.id, rule.for),
      requests: Math.ceil(meter.requests?.used(monotonic) ?? 0),
      tokens: Math.ceil(meter.tokens?.used(monotonic) ?? 0),
      in_flight: meter.inFlight,
    }))
    .filter(({ for: subject }) => {
      const { tenantScope } = request;
      return tenantScope === everyTenant || rule.source === 'key' || subject.tenant === tenantScope;
    });
  const { name, source, for: target, rpm, tpm, maxInFlight } = rule;
  return { name, source, for: target, rpm, tpm, max_in_flight: maxInFlight, uses };
}
