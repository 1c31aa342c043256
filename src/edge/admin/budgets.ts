import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { LiveUse } from '../../core/budget-report.ts';
import { budgetsOfKeys, currentStarts, knownUses, publicBudget } from '../../core/budget-report.ts';
import type { BudgetRule } from '../../core/limit.ts';
import { budgetPeriods, usualAlerts } from '../../core/limit.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { EdgeContext } from '../http/context.ts';
import { orNull, readBody } from './body.ts';
import { budgetExpectations, timezone, usd } from './budget-fields.ts';
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

const newBudget = z.strictObject({
  name: ruleName,
  ...targetFields,
  usd,
  per: z.enum(budgetPeriods),
  timezone: orNull(timezone),
  alerts: orNull(z.array(z.int().min(1).max(1000)).max(10)),
});

const expectations = {
  ...targetExpectations,
  ...budgetExpectations,
  alerts: 'must be at most 10 numbers of percent, or null for 50, 80 and 100',
};

/** `GET /api/budgets`: all budgets with what was used of them, those of API keys last. */
export async function listBudgets(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { tenantScope } = request;
  const { clock, limiter } = context.flow;
  const now = clock.now();
  const shown = limiter.rules.budgets.filter((rule) => isTheirs(request, rule) || rule.for.tenant === '*');
  const keys = context.apiKeys.list(tenantScope).filter(({ revokedAt }) => revokedAt === null);
  const rules = [...shown, ...budgetsOfKeys(keys)];
  const uses = await context.ledger.uses(currentStarts(rules, now));
  const live: LiveUse[] = [];
  for (const meter of limiter.meters.budgets) {
    live.push({ id: meter.id, used: meter.used(now) + meter.others(now), reserved: meter.reserved });
  }
  const known = knownUses(uses, live);
  const budgets = rules.map((rule) => {
    const budget = publicBudget(rule, known, now);
    const isShown = (use: (typeof budget.uses)[number]): boolean =>
      tenantScope === everyTenant || rule.source === 'key' || use.for.tenant === tenantScope;
    return { ...budget, uses: budget.uses.filter(isShown) };
  });
  return { budgets };
}

/** `POST /api/budgets`: makes a budget, or changes the one of that name. What was spent before stays spent. */
export async function putBudget(context: EdgeContext, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const given = readBody(newBudget, request, expectations);
  const { name, target } = targetOf(context, request, given);
  const { budgets } = context.flow.limiter.rules;
  checkFree(budgets, name);
  const before = budgets.find((rule) => rule.name === name) ?? null;
  const { usd: amount, per, timezone: zone, alerts } = given;
  const rule: BudgetRule = {
    name,
    source: 'api',
    for: target,
    usd: amount,
    per,
    timezone: zone ?? 'UTC',
    alerts: alerts ?? usualAlerts,
  };
  const now = context.flow.clock.now();
  context.limitRules.putBudget(rule, now);
  request.audit = { action: 'budget.put', ...audited('budget', rule), before, after: rule };
  created(reply);
  return publicBudget(rule, knownUses(await context.ledger.uses(currentStarts([rule], now))), now);
}

/** `DELETE /api/budgets/NAME`. What it paid stays in the ledger. */
export async function removeBudget(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const rule = removeRule(context, request, 'budget');
  request.audit = { action: 'budget.remove', ...audited('budget', rule), before: rule, after: null };
  return { name: rule.name, removed: true };
}
