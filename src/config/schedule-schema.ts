import { z } from 'zod';
import { parseDuration } from '../core/duration.ts';
import { catchUps, jobTypeNames, longestTimeout, overlaps } from '../core/jobs.ts';
import { isPriceSource } from '../core/prices.ts';
import { isTenantName } from '../core/principal.ts';
import { sealPurposes } from '../core/sealing.ts';
import { atOf, cronProblem, everyOf } from '../core/schedule.ts';
import { integer, name, secret, text, timeZone } from './fields.ts';

const cronSchema = text('a cron of five or six fields').superRefine((expression, context) => {
  const message = cronProblem(expression);
  if (message !== undefined) context.addIssue({ code: 'custom', message });
});

const everyError = 'expected an interval from a second to 366 days, such as "90s", "15m" or "6h"';

const everySchema = z
  .string({ error: everyError })
  .refine((written) => everyOf(written) !== undefined, { error: everyError });

const atError = 'expected a time such as "2026-12-24T18:00", or with an offset "2026-12-24T18:00:00+03:00"';

const atSchema = z
  .string({ error: atError })
  .refine((written) => atOf(written, 'UTC') !== undefined, { error: atError });

/** A time such as `90s` or `1h`, up to a year; becomes ms. */
function time(example: string, minSeconds: number, maxSeconds = 31_622_400) {
  const most = maxSeconds === longestTimeout ? ', of 20 days at the most' : '';
  const error = `expected a time such as "${example}"${most}`;
  return z.string({ error }).transform((written, context) => {
    const seconds = parseDuration(written.trim());
    if (seconds !== undefined && seconds >= minSeconds && seconds <= maxSeconds) return seconds * 1000;
    context.addIssue({ code: 'custom', message: error });
    return z.NEVER;
  });
}

const priceSourceError = 'expected "openrouter" or an http or https URL without a user';

const priceSource = z.string({ error: priceSourceError }).refine(isPriceSource, { error: priceSourceError });

const webhookName = text('the name of a webhook');

const jobSchema = z.strictObject({
  type: z
    .enum(jobTypeNames)
    .exactOptional()
    .describe('What it does; the job’s own name where that is the name of a type.'),
  cron: cronSchema.exactOptional().describe('When it runs: minute, hour, day of the month, month, day of the week.'),
  every: everySchema.exactOptional().describe('Or: how often, such as "90s".'),
  at: atSchema.exactOptional().describe('Or: once, at this time.'),
  timezone: timeZone.exactOptional().describe('The time zone of its cron or time; schedule.timezone if absent.'),
  catchUp: z.enum(catchUps).default('once').describe('What becomes of due times that were missed: once, all or skip.'),
  catchUpWindow: time('7d', 0).prefault('7d').describe('How old a due time may be to be made up for.'),
  overlap: z
    .enum(overlaps)
    .default('skip')
    .describe('What becomes of a due time while the job still runs: skip, queue (one waits) or allow.'),
  jitter: time('30s', 0).prefault('0s').describe('It begins at random up to so long after its due time.'),
  retries: integer(0, 20).exactOptional().describe('How often a run that failed is tried again.'),
  retryAfter: time('30s', 1).prefault('30s').describe('How long after; twice as long each further time.'),
  timeout: time('1h', 1, longestTimeout).prefault('1h').describe('How long a run may take before it is aborted.'),
  enabled: z.boolean({ error: 'expected true or false' }).default(true).describe('Whether it is there at all.'),
  keep: integer(1, 10_000).exactOptional().describe('Of backup: how many stay; backup.keep if absent.'),
  purpose: z.enum(sealPurposes).exactOptional().describe('Of key-rotation: only the keys of this purpose.'),
  from: z
    .array(priceSource, { error: 'expected a list of sources' })
    .min(1, { error: 'expected at least one source' })
    .max(10, { error: 'expected at most 10 sources' })
    .exactOptional()
    .describe('Of price-refresh: where prices are had from, "openrouter" or URLs; openrouter if absent.'),
  probe: z
    .enum(['off', 'list', 'chat'])
    .exactOptional()
    .describe('Of model-health: what instances without traffic are asked; chat costs a token each.'),
  agent: text('the name of an agent').exactOptional().describe('Of agent: which agent runs.'),
  input: text('what the agent is told').exactOptional().describe('Of agent: what it is told.'),
  tenant: text('the name of a tenant')
    .refine(isTenantName, { error: 'expected the name of one tenant, other than "system"' })
    .exactOptional()
    .describe('Of agent: whose request it is; "default" if absent.'),
  webhook: webhookName.exactOptional().describe('Of agent: where its output is posted to.'),
});

const webhookError = 'expected an http or https URL without a user or a fragment';

function isWebhookUrl(written: string): boolean {
  if (!URL.canParse(written)) return false;
  const { protocol, username, password, hash } = new URL(written);
  return /^https?:$/.test(protocol) && username === '' && password === '' && hash === '';
}

/** A `Secret`, since the URLs of Slack and its like let whoever knows them post. */
const webhookUrl = secret(1).transform((url, context) => {
  if (url !== null && isWebhookUrl(url.reveal())) return url;
  context.addIssue({ code: 'custom', message: webhookError });
  return z.NEVER;
});

const webhookTenant = text('the name of a tenant, or "*" for all').refine(
  (written) => written === '*' || isTenantName(written),
  {
    error: 'expected the name of one tenant, or "*" for all',
  },
);

const webhookSchema = z.strictObject({
  url: webhookUrl.describe('Where it is. Best as "${NAME}": whoever knows it can post there.'),
  secret: secret(16).prefault('').describe('What its requests are signed with, at least 16 bytes; unsigned if empty.'),
  format: z
    .enum(['mizan', 'slack'])
    .default('mizan')
    .describe('The body: mizan for all there is to know, slack for a text that Slack and its like show.'),
  tenants: z
    .array(webhookTenant, { error: 'expected a list of tenants, or ["*"] for all' })
    .default([])
    .describe('Whose jobs made over the API may post there, "*" for all; those of the configuration may anyway.'),
});

/** Who brings due times to a process: this process by itself, or BullMQ. */
const drivers = ['auto', 'local', 'bullmq'] as const;

const notices = ['failure', 'late', 'recovery'] as const;

const notifySchema = z.strictObject({
  webhooks: z.array(webhookName).default([]).describe('Who is told, by the names of webhooks.'),
  on: z
    .array(z.enum(notices))
    .default([...notices])
    .describe('Of what: failure (after the last retry), late (over a minute), recovery.'),
  repeatAfter: time('6h', 60).prefault('6h').describe('How long the same is not told again.'),
});

export const scheduleSchema = z.strictObject({
  timezone: timeZone.default('UTC').describe('The time zone of all jobs that name none, by its IANA name.'),
  driver: z
    .enum(drivers)
    .default('local')
    .describe(
      'How due times come to a process: local (by the database), bullmq (by Redis), or auto: bullmq with Redis.',
    ),
  jobs: z.record(name, jobSchema).default({}).describe('By their names; those built in are there anyway.'),
  webhooks: z.record(name, webhookSchema).default({}).describe('Where results and notices can be posted to.'),
  notify: notifySchema.prefault({}).describe('Who is told of what goes wrong.'),
  maxWaiting: integer(1, 10_000).default(100).describe('How many runs of one job may wait at the most.'),
  history: integer(1, 3650, 'days').default(90).describe('How long runs stay in the history, in days.'),
});

export type FileSchedule = z.output<typeof scheduleSchema>;
