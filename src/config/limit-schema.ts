import { z } from 'zod';
import type { BudgetRule, LimitRule, LimitTarget } from '../core/limit.ts';
import { budgetPeriods, isBudgetUsd, limitFields, maxBudgetUsd, usualAlerts } from '../core/limit.ts';
import { integer, milliseconds, text, timeZone, webhookUrl } from './fields.ts';

const most = 1_000_000_000;

const target = {
  key: text('the id of an API key, or "*"').exactOptional().describe('The id of an API key; "*" for each one.'),
  principal: text('a subject, or "*"')
    .exactOptional()
    .describe('A token\'s subject or an API key\'s name; "*" for each one.'),
  agent: text('the name of an agent, or "*"').exactOptional().describe('An agent; "*" for each one.'),
  model: text('a model, or "*"').exactOptional().describe('A model as it is asked for; "*" for each one.'),
  tenant: text('the name of a tenant, or "*"').exactOptional().describe('A tenant; "*" for each one.'),
};

const limitSchema = z
  .strictObject({
    ...target,
    rpm: integer(1, most).exactOptional().describe('Requests in any minute.'),
    tpm: integer(1, most).exactOptional().describe('Tokens in any minute, prompts and answers together.'),
    maxInFlight: integer(1, 1_000_000).exactOptional().describe('Requests that are being answered at the same time.'),
  })
  .refine(({ rpm, tpm, maxInFlight }) => rpm !== undefined || tpm !== undefined || maxInFlight !== undefined, {
    error: 'expected at least one of rpm, tpm and maxInFlight',
  });

const moneyError = `expected US dollars above 0, up to ${maxBudgetUsd}, with at most six decimals`;

/** An amount that a budget can hold to the last digit. */
const budgetUsd = z.number({ error: moneyError }).refine(isBudgetUsd, { error: moneyError });

const budgetSchema = z.strictObject({
  ...target,
  usd: budgetUsd.describe('How much there is, in US dollars.'),
  per: z.enum(budgetPeriods).describe('For how long: hour, day, week (from Monday), month, or total for ever.'),
  timezone: timeZone.default('UTC').describe('Whose hours, days, weeks and months.'),
  alerts: z
    .array(integer(1, 1000, 'percent'))
    .max(10, { error: 'expected at most 10 numbers' })
    .default([...usualAlerts])
    .describe('At how many percent somebody is told.'),
});

/** `limits:` and `budgets:`, by their names. */
export const limitsSchema = (name: z.ZodString) => z.record(name, limitSchema).default({});
export const budgetsSchema = (name: z.ZodString) => z.record(name, budgetSchema).default({});

type Given<S extends (name: z.ZodString) => z.ZodType> = z.output<ReturnType<S>>;

function targetOf(given: LimitTarget): LimitTarget {
  return Object.fromEntries(
    limitFields.flatMap((field) => (given[field] === undefined ? [] : [[field, given[field]]])),
  );
}

export function limitRules(given: Given<typeof limitsSchema>): LimitRule[] {
  return Object.entries(given).map(([name, { rpm = null, tpm = null, maxInFlight = null, ...rest }]) => ({
    name,
    source: 'config',
    for: targetOf(rest),
    rpm,
    tpm,
    maxInFlight,
  }));
}

export function budgetRules(given: Given<typeof budgetsSchema>): BudgetRule[] {
  return Object.entries(given).map(([name, { usd, per, timezone, alerts, ...rest }]) => ({
    name,
    source: 'config',
    for: targetOf(rest),
    usd,
    per,
    timezone,
    alerts,
  }));
}

const queueSchema = z.strictObject({
  waitMs: integer(0, 600_000, 'milliseconds')
    .default(0)
    .describe('How long a request may wait for room in a limit before it is refused, in ms; 0 to refuse it at once.'),
  max: integer(1, 100_000).default(1000).describe('Requests that may wait at the same time.'),
  maxPerTenant: integer(1, 100_000).default(200).describe('How many of them may be of one tenant.'),
});

const overloadSchema = z.strictObject({
  lagMs: milliseconds(0)
    .default(0)
    .describe(
      'The lag of the event loop, in ms, from which requests of the class low are refused; normal at twice, high at ' +
        'four times of it. 0 to refuse none.',
    ),
});

/** How limits are kept. */
export const limitingSchema = z.strictObject({
  machines: integer(1, 10_000)
    .default(1)
    .describe(
      'Machines that share limits by way of Redis, at the least: each keeps to its share while it can ask nobody.',
    ),
  webhook: webhookUrl
    .prefault('')
    .describe('An http or https URL that is told when a budget reaches one of its alerts; empty for none.'),
  assumedOutputTokens: integer(1, 10_000_000)
    .default(4096)
    .describe('Tokens that an answer is taken for where neither the request nor its model says how long it may be.'),
  weights: z
    .record(text('the name of a tenant'), integer(1, 1000))
    .default({})
    .describe('How often tenants come in comparison with each other where they wait; 1 for those that are not named.'),
  queue: queueSchema.prefault({}).describe('Waiting for room in a limit, fair between tenants.'),
  overload: overloadSchema.prefault({}).describe('What becomes of requests while this process has too much to do.'),
});
