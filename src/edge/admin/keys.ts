import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { ApiKeyRecord, KeyLimits, SeenApiKey } from '../../core/api-key.ts';
import { noLimits, publicKey, usualOverlap } from '../../core/api-key.ts';
import { MizanError } from '../../core/errors.ts';
import { budgetPeriods } from '../../core/limit.ts';
import { didYouMean } from '../../core/nearest.ts';
import type { Principal } from '../../core/principal.ts';
import { priorities, priorityOf } from '../../core/priority.ts';
import { isTenantName, roles } from '../../core/principal.ts';
import { everyTenant } from '../../core/request-record.ts';
import { newApiKey } from '../../security/api-keys.ts';
import { grantRefusal } from '../../security/grants.ts';
import { tenantFor } from '../auth/authorise.ts';
import type { EdgeContext } from '../http/context.ts';
import { orNull, readBody, seconds } from './body.ts';
import { budgetExpectations, timezone, usd } from './budget-fields.ts';

const name = z.string().regex(/^[^\p{C}]{1,100}$/u);
const names = orNull(z.array(name).max(1000));
const count = orNull(z.int().min(1).max(1_000_000_000));

const newKey = z.strictObject({
  name,
  tenant: orNull(name),
  any_tenant: orNull(z.boolean()),
  role: orNull(z.enum(roles)),
  agents: names,
  models: names,
  ttl: orNull(seconds.refine((ttl) => ttl > 0)),
  priority: orNull(z.enum(priorities)),
  limits: orNull(
    z.strictObject({
      rpm: count,
      tpm: count,
      max_in_flight: count,
      budget: orNull(z.strictObject({ usd, per: z.enum(budgetPeriods), timezone: orNull(timezone) })),
    }),
  ),
});

const wholeNumber = 'must be a whole number from 1 to 1000000000';

const expectations = {
  name: 'must be a text of 1 to 100 characters',
  tenant: 'must be the name of a tenant, or null for your own',
  any_tenant: 'must be true or false',
  role: `must be one of ${roles.join(', ')}`,
  agents: 'must be a list of names, or null for all',
  models: 'must be a list of models that may be called directly, or null',
  ttl: 'must be a time such as "30d" or a number of seconds, or null',
  priority: `must be one of ${priorities.join(', ')}, or null for normal`,
  limits: 'must have rpm, tpm and max_in_flight from 1 on, and a budget such as {"usd": 10, "per": "day"}',
  'limits.rpm': `${wholeNumber} of requests per minute, or null`,
  'limits.tpm': `${wholeNumber} of tokens per minute, or null`,
  'limits.max_in_flight': `${wholeNumber} of requests at the same time, or null`,
  'limits.budget': 'must be such as {"usd": 10, "per": "day"}, or null',
  'limits.budget.usd': budgetExpectations.usd,
  'limits.budget.per': budgetExpectations.per,
  'limits.budget.timezone': budgetExpectations.timezone,
};

/** `GET /api/keys`: the tenant's keys, without what makes them keys. */
export async function listKeys(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const lastUsed = context.apiKeys.lastUsed();
  const now = context.flow.clock.now();
  const keys = context.apiKeys.list(request.tenantScope);
  return { keys: keys.map((key) => publicKey(key, lastUsed.get(key.id), now)) };
}

/** `POST /api/keys`: makes a key. It is in this answer, and never again. */
export async function createKey(context: EdgeContext, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const { principal } = request;
  const given = readBody(newKey, request, expectations);
  const scope = given.tenant === null ? request.tenantScope : tenantFor(principal, given.tenant);
  if (scope === everyTenant || !isTenantName(scope)) {
    throw new MizanError('invalid_request', 'A key belongs to one tenant, other than "system".', { param: 'tenant' });
  }
  checkAgents(context, given.agents);
  const now = context.flow.clock.now();
  const { id, key, hash } = newApiKey();
  const record: ApiKeyRecord = {
    id,
    hash,
    name: given.name,
    tenant: scope,
    scope: given.any_tenant === true ? 'any' : 'own',
    role: given.role ?? 'member',
    agents: given.agents,
    models: given.models,
    limits: { ...limitsOf(given.limits), ...(given.priority === null ? {} : { priority: given.priority }) },
    createdAt: now,
    expiresAt: given.ttl === null ? null : now + given.ttl * 1000,
    revokedAt: null,
    rotatedAt: null,
    previous: null,
  };
  checkGrant(principal, record);
  checkPriority(principal, record);
  context.apiKeys.insert(record);
  request.audit = { action: 'key.create', ...audited(record), after: publicKey(record, undefined, now) };
  void reply.code(201).header('cache-control', 'no-store');
  return { key: key.reveal(), ...publicKey(record, undefined, now) };
}

const rotation = z.strictObject({ overlap: orNull(seconds) });

/** `POST /api/keys/ID/rotate`: gives a key another secret; the old one stays good for `overlap`. */
export async function rotateKey(context: EdgeContext, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const expected = { overlap: 'must be a time such as "24h", or a number of seconds' };
  const { overlap } = readBody(rotation, request, expected);
  const record = keyOf(context, request);
  if (record.isDamaged === true) throw noSuchKey(record.id, 'is not damaged');
  // Whoever rotates a key has it.
  checkGrant(request.principal, record);
  checkPriority(request.principal, record);
  const now = context.flow.clock.now();
  const { key, hash } = newApiKey(record.id);
  const previousUntil = now + (overlap ?? usualOverlap) * 1000;
  const rotated = context.apiKeys.rotate(record.id, { hash, at: now, previousUntil });
  if (rotated === undefined) throw noSuchKey(record.id);
  const states = { before: publicKey(record, undefined, now), after: publicKey(rotated, undefined, now) };
  request.audit = { action: 'key.rotate', ...audited(record), ...states };
  void reply.header('cache-control', 'no-store');
  return { key: key.reveal(), ...publicKey(rotated, context.apiKeys.lastUsed().get(record.id), now) };
}

/** `DELETE /api/keys/ID`: ends a key at once. It stays in the list. */
export async function revokeKey(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const record = keyOf(context, request);
  if (record.scope === 'any' && request.principal.scope !== 'any') {
    throw new MizanError('forbidden', 'Only an identity for every tenant can end this key.');
  }
  const now = context.flow.clock.now();
  if (!context.apiKeys.revoke(record.id, now)) throw noSuchKey(record.id);
  const revoked = publicKey({ ...record, revokedAt: now }, context.apiKeys.lastUsed().get(record.id), now);
  const before = publicKey(record, undefined, now);
  request.audit = { action: 'key.revoke', ...audited(record), before, after: revoked };
  return revoked;
}

function audited({ tenant, id }: ApiKeyRecord): { readonly tenant: string; readonly target: string } {
  return { tenant, target: `key:${id}` };
}

/** The key of the path, damaged or not, where it is the tenant's and not revoked. */
function keyOf(context: EdgeContext, request: FastifyRequest): SeenApiKey {
  const { id } = request.params as { id: string };
  const record = context.apiKeys.look(id);
  const isTheirs = request.tenantScope === everyTenant || record?.tenant === request.tenantScope;
  if (record === undefined || !isTheirs || record.revokedAt !== null) throw noSuchKey(id);
  return record;
}

function noSuchKey(id: string, that = 'is not revoked'): MizanError {
  return new MizanError('not_found', `There is no key "${id.slice(0, 40)}" that ${that}.`);
}

function limitsOf(given: z.output<typeof newKey>['limits']): KeyLimits {
  if (given === null) return noLimits;
  const { rpm, tpm, max_in_flight: maxInFlight, budget } = given;
  const zone = budget?.timezone ?? null;
  const own =
    budget === null ? null : { usd: budget.usd, per: budget.per, ...(zone === null ? {} : { timezone: zone }) };
  return { rpm, tpm, maxInFlight, budget: own };
}

function checkGrant(principal: Principal, record: ApiKeyRecord): void {
  const refusal = grantRefusal(principal, record);
  if (refusal !== undefined) throw new MizanError('forbidden', refusal);
}

/** The classes are told apart over all tenants where there is too much to do: nobody gives a higher one than theirs. */
function checkPriority(principal: Principal, { limits: { priority = 'normal' } }: ApiKeyRecord): void {
  const own = priorityOf(principal);
  if (principal.scope === 'any' || priorities.indexOf(priority) <= priorities.indexOf(own)) return;
  const message = `Only an identity for every tenant can give the priority ${priority}; this one is ${own} itself.`;
  throw new MizanError('forbidden', message);
}

function checkAgents(context: EdgeContext, agents: readonly string[] | null): void {
  const known = [...context.flow.agents.list()].map((agent) => agent.name);
  const unknown = agents?.find((agent) => !known.includes(agent));
  if (unknown === undefined) return;
  const message = `There is no agent "${unknown}".${didYouMean(unknown, known)}`;
  throw new MizanError('invalid_request', message, { param: 'agents' });
}
