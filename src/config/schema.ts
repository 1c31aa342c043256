import { z } from 'zod';
import { payloadModes } from '../core/payload.ts';
import { catalogue } from '../providers/catalogue.ts';
import type { CatalogueKind } from '../providers/catalogue.ts';
import { simulatorOptionsSchema } from '../providers/simulator/options.ts';
import {
  apiKey,
  baseUrl,
  databaseUrl,
  egressEntry,
  integer,
  keptSecret,
  milliseconds,
  name,
  redisUrl,
  secret,
  size,
  text,
} from './fields.ts';

import { authSchema } from './auth-schema.ts';
import { backupSchema } from './backup-schema.ts';
import { cacheRuleSchema, cacheSchema } from './cache-schema.ts';
import { budgetsSchema, limitingSchema, limitsSchema } from './limit-schema.ts';
import { modelSchema, priceSchema } from './model-schema.ts';
import { scheduleSchema } from './schedule-schema.ts';

export type * from './config.ts';

/** Whether there is such a kind of provider. */
export function isProviderKind(kind: string): boolean {
  return kind === 'simulator' || Object.hasOwn(catalogue, kind);
}

const port = integer(0, 65_535);

const serverSchema = z.strictObject({
  host: text('an address to listen on').default('127.0.0.1').describe('Address to listen on.'),
  port: port.default(8000).describe('Port of the API and the dashboard; 0 for any free one.'),
  metricsPort: port.default(9000).describe('Port of /metrics; 0 for any free one.'),
  workers: integer(1, 1024)
    .refine((workers) => workers === 1, { error: 'more than one worker is not supported by this version' })
    .default(1)
    .describe('Processes that answer requests. Only 1 in this version.'),
  bodyLimit: size(1, 1024 ** 3, '1B to 1GiB')
    .prefault('10MiB')
    .describe('The largest request body, in bytes or as a size such as "10MiB".'),
  headersTimeoutMs: milliseconds().default(10_000).describe('How long a caller may take to send its headers, in ms.'),
  shutdownTimeoutMs: milliseconds(0)
    .default(30_000)
    .describe('How long requests under way may take to finish when Mizan stops, in ms.'),
});

const databaseSchema = z.strictObject({
  url: databaseUrl.prefault('').describe('A postgres:// URL; empty for SQLite in the data folder.'),
});

const redisSchema = z.strictObject({
  url: redisUrl.prefault('').describe('A redis:// or rediss:// URL; empty for memory.'),
});

const masterKeySchema = z.strictObject({
  key: secret(32).prefault('').describe('The key itself: 32 bytes in base64 or hex. Best as MIZAN_MASTER_KEY.'),
  command: z
    .array(text('a program or one of its arguments'))
    .min(1, { error: 'expected a program and its arguments' })
    .max(64, { error: 'expected at most 64 arguments' })
    .exactOptional()
    .describe('A program and its arguments, which prints the key: for a key management service. Run once, at start.'),
  file: text('the name of a file')
    .exactOptional()
    .describe('The file with the key; `master.key` in the data folder if absent, made on first use.'),
  previous: secret(32).prefault('').describe('The one before, while it is being replaced.'),
});

const securitySchema = z.strictObject({
  masterKey: masterKeySchema.prefault({}).describe('Wraps the keys of everything that is sealed.'),
});

const egressSchema = z.strictObject({
  allow: z
    .array(egressEntry)
    .default([])
    .describe('Addresses, ranges, hosts or *.domains that may be connected to though they are not public.'),
});

/** Headers that say how a message is sent: undici's to write, and wrong from anyone else. */
const framing = /^(?:connection|content-length|expect|keep-alive|te|trailer|transfer-encoding|upgrade)$/i;

const headerName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, { error: 'expected the name of an HTTP header' })
  .refine((header) => !framing.test(header), { error: 'expected a header that is free to be set' });
const headerValue = keptSecret(
  z
    .string({ error: 'expected the value of an HTTP header' })
    .regex(/^[\t\x20-\x7e]*$/, { error: 'expected the value of an HTTP header, in printable ASCII' }),
);

export const upstreamProviderSchema = z.strictObject({
  kind: z
    .enum(Object.keys(catalogue) as CatalogueKind[])
    .describe("Which service it is; the provider's own name if that is a kind."),
  apiKey: apiKey.prefault('').describe('The key for the service. Best as "${NAME}".'),
  baseUrl: baseUrl.exactOptional().describe('Where the service is, with its path (https://example.com/v1).'),
  headers: z.record(headerName, headerValue).default({}).describe('Sent with every request to the service.'),
  prices: z.record(text('the name of a model'), priceSchema).default({}).describe("By the service's own model names."),
});

export const simulatorProviderSchema = simulatorOptionsSchema.extend({
  kind: z.literal('simulator').describe('Answers without any service; everything can be tried offline.'),
});

const providerSchema = z.discriminatedUnion('kind', [upstreamProviderSchema, simulatorProviderSchema], {
  error: ({ code }) => (code === 'invalid_union' ? 'expected a kind of provider' : undefined),
});

/** What an agent may not set: Mizan or the caller decides it. */
const reservedParams = ['model', 'messages', 'stream', 'stream_options'] as const;

const paramsSchema = z.record(z.string(), z.unknown()).superRefine((params, context) => {
  for (const param of reservedParams) {
    if (!Object.hasOwn(params, param)) continue;
    context.addIssue({ code: 'custom', path: [param], message: 'an agent may not set this parameter' });
  }
});

const payloadFields = {
  mode: z.enum(payloadModes, { error: 'expected a mode' }).describe('Of which requests is kept what was said.'),
  rate: z
    .number({ error: 'expected a number from 0 to 1' })
    .min(0, { error: 'expected a number from 0 to 1' })
    .max(1, { error: 'expected a number from 0 to 1' })
    .describe('For sampled: the share of requests, from 0 to 1.'),
  maxBytes: size(256, 1024 ** 2, '256B to 1MiB').describe(
    'How much of a request, and of an answer, is kept: in bytes or as a size such as "64KiB".',
  ),
};

const payloadsSchema = z.strictObject({
  mode: payloadFields.mode.default('off'),
  rate: payloadFields.rate.default(0.1),
  maxBytes: payloadFields.maxBytes.prefault('64KiB'),
});

const agentPayloadsSchema = z.strictObject({
  mode: payloadFields.mode.exactOptional(),
  rate: payloadFields.rate.exactOptional(),
  maxBytes: payloadFields.maxBytes.exactOptional(),
});

const agentSchema = z.strictObject({
  model: text('a model id, or "provider/upstream-model"').describe('A model id, or "provider/upstream-model".'),
  system: z.string({ error: 'expected a string' }).exactOptional().describe('Its system prompt.'),
  params: paramsSchema
    .default({})
    .describe("Parameters of the request (temperature, …) where the caller doesn't set them."),
  cache: cacheRuleSchema.exactOptional().describe('What is cached of it, where that differs from its model.'),
  description: z.string({ error: 'expected a string' }).exactOptional().describe('For people.'),
  payloads: agentPayloadsSchema.default({}).describe('What of its requests is kept, where that differs from the rest.'),
});

const days = integer(1, 36_500, 'days');

const retentionSchema = z.strictObject({
  log: days.default(90).describe('How long the request log is kept, in days.'),
  payloads: days.default(14).describe('How long what was said is kept, in days; never longer than the log.'),
  rollups: days.default(730).describe('How long sums per hour and day are kept, in days.'),
});

/** `mizan.yaml` after the expansion of variables, with every provider's kind in place. */
export const fileSchema = z.strictObject({
  server: serverSchema.prefault({}).describe('Where Mizan listens and what it allows.'),
  database: databaseSchema.prefault({}).describe('Where records are kept.'),
  redis: redisSchema.prefault({}).describe('Shared memory of several processes.'),
  auth: authSchema.prefault({}).describe('Who may ask.'),
  security: securitySchema.prefault({}).describe('What data at rest is sealed with.'),
  egress: egressSchema.prefault({}).describe('Where connections may lead.'),
  providers: z.record(name, providerSchema).default({}).describe('Services that answer, by names of your choice.'),
  models: z.record(name, modelSchema).default({}).describe('Models, each balanced over its instances.'),
  agents: z.record(name, agentSchema).default({}).describe('Agents: a model, a system prompt and parameters.'),
  defaultAgent: text('the name of an agent')
    .exactOptional()
    .describe('The agent of requests that name none: "assistant", else the first one, if absent.'),
  limits: limitsSchema(name).describe('How much may be used at a time, by names of your choice.'),
  budgets: budgetsSchema(name).describe('How much may be spent, by names of your choice.'),
  limiting: limitingSchema.prefault({}).describe('How limits and budgets are kept.'),
  payloads: payloadsSchema.prefault({}).describe('Whether what was said is kept, sealed, beside the request log.'),
  retention: retentionSchema.prefault({}).describe('How long is kept what.'),
  cache: cacheSchema.prefault({}).describe('Kept answers.'),
  backup: backupSchema.prefault({}).describe('Where backups go, and how long they stay.'),
  schedule: scheduleSchema.prefault({}).describe('Jobs that run by the clock.'),
});

export type FileConfig = z.output<typeof fileSchema>;
