import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { BudgetRule, LimitRule, LimitTarget } from '../../core/limit.ts';
import { limitFields } from '../../core/limit.ts';
import { MizanError } from '../../core/errors.ts';
import { didYouMean } from '../../core/nearest.ts';
import { everyTenant } from '../../core/request-record.ts';
import { tenantFor } from '../auth/authorise.ts';
import type { EdgeContext } from '../http/context.ts';
import { orNull } from './body.ts';

const value = orNull(z.string().min(1).max(200));

/** Whom a rule is for, as it is given over HTTP. */
export const targetFields = { key: value, principal: value, agent: value, model: value, tenant: value };

export const ruleName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);

const forWhom = (what: string): string => `must be ${what}, "*" for each one, or null`;

export const targetExpectations = {
  name: 'must be 1 to 64 letters, digits, ".", "_" or "-", and begin with a letter or digit',
  key: forWhom('the id of an API key'),
  principal: forWhom('the name of a subject'),
  agent: forWhom('the name of an agent'),
  model: forWhom('the name of a model'),
  tenant: 'must be the name of a tenant, "*" for each one, or null for your own',
};

type GivenTarget = Readonly<Record<keyof typeof targetFields, string | null>>;

/**
 * Whom a rule is for, as far as whoever makes it may say so, and the name under which it is kept: what is one
 * tenant's has the tenant before it.
 * @throws MizanError `forbidden`, `invalid_request`
 */
export function targetOf(
  context: EdgeContext,
  request: FastifyRequest,
  given: GivenTarget & { readonly name: string },
): { readonly name: string; readonly target: LimitTarget } {
  const { principal } = request;
  const isForEach = given.tenant === '*';
  if (isForEach && principal.scope !== 'any') {
    throw new MizanError('forbidden', 'This identity may limit its own tenant only.');
  }
  const scope = given.tenant === null || isForEach ? request.tenantScope : tenantFor(principal, given.tenant);
  const tenant = isForEach ? '*' : scope === everyTenant ? null : scope;
  checkNames(context, given, tenant);
  const target = Object.fromEntries(
    limitFields.flatMap((field) => {
      const wanted = field === 'tenant' ? tenant : given[field];
      return wanted === null ? [] : [[field, wanted]];
    }),
  );
  return { name: tenant === null || tenant === '*' ? given.name : `${tenant}/${given.name}`, target };
}

/** Principals are whom tokens name, of whoever issues them: any may come. So may a tenant. */
function checkNames(
  { flow: { agents, models }, apiKeys }: EdgeContext,
  { key, agent, model }: GivenTarget,
  tenant: string | null,
): void {
  if (isOne(agent)) {
    const names = [...agents.list()].map(({ name }) => name);
    if (!names.includes(agent)) throw unknown('agent', agent, names);
  }
  if (isOne(model) && !models.has(model)) {
    const ids = [...models.list()].map(({ pool }) => pool.model.id);
    throw unknown('model', model, ids);
  }
  if (isOne(key)) {
    const keys = apiKeys.list(isOne(tenant) ? tenant : everyTenant);
    const ids = keys.filter(({ revokedAt }) => revokedAt === null).map(({ id }) => id);
    if (!ids.includes(key)) throw unknown('key', key, ids);
  }
}

function isOne(given: string | null): given is string {
  return given !== null && given !== '*';
}

function unknown(param: 'agent' | 'model' | 'key', given: string, known: readonly string[]): MizanError {
  const what = param === 'key' ? 'API key' : param;
  return new MizanError('invalid_request', `There is no ${what} "${given}".${didYouMean(given, known)}`, { param });
}

/** @throws MizanError where the configuration has one of this name: it wins. */
export function checkFree(rules: readonly (LimitRule | BudgetRule)[], name: string): void {
  if (!rules.some((rule) => rule.name === name && rule.source === 'config')) return;
  throw new MizanError('invalid_request', `"${name}" stands in the configuration; change it there.`, { param: 'name' });
}

/** Whether somebody who looks after one tenant is shown, and may remove, a rule. */
export function isTheirs(request: FastifyRequest, rule: LimitRule | BudgetRule): boolean {
  const scope = request.tenantScope;
  return scope === everyTenant || rule.for.tenant === scope;
}

/** Removes a rule that was made over HTTP. */
export function removeRule(
  context: EdgeContext,
  request: FastifyRequest,
  kind: 'limit' | 'budget',
): LimitRule | BudgetRule {
  const { name: given } = request.params as { name: string };
  const scope = request.tenantScope;
  const { limits, budgets } = context.flow.limiter.rules;
  const rules = kind === 'limit' ? limits : budgets;
  const names = scope === everyTenant ? [given] : [`${scope}/${given}`, given];
  const rule = rules.find((each) => names.includes(each.name) && isTheirs(request, each));
  if (rule === undefined) throw new MizanError('not_found', `There is no ${kind} "${given.slice(0, 100)}".`);
  checkFree(rules, rule.name);
  context.limitRules.remove(kind, rule.name);
  return rule;
}

export function audited(kind: 'limit' | 'budget', { name, for: target }: LimitRule | BudgetRule) {
  return { tenant: target.tenant ?? '*', target: `${kind}:${name}` };
}

export function created(reply: FastifyReply): void {
  void reply.code(201);
}
