import { z } from 'zod';
import { strategyNames } from '../core/strategy-name.ts';
import { cacheRuleSchema } from './cache-schema.ts';
import { integer, milliseconds, name, text } from './fields.ts';

const most = 1_000_000_000;

const perMillion = z.number({ error: 'expected a price in US dollars per million tokens' }).min(0, {
  error: 'expected a price of at least 0',
});

export const priceSchema = z.strictObject({
  input: perMillion.describe('US dollars per million input tokens.'),
  output: perMillion.describe('US dollars per million output tokens.'),
  cachedInput: perMillion
    .exactOptional()
    .describe("US dollars per million input tokens read from the upstream's prompt cache; as input if absent."),
  reasoning: perMillion
    .exactOptional()
    .describe("US dollars per million output tokens of the model's reasoning; as output if absent."),
  image: z
    .number({ error: 'expected a price in US dollars per picture' })
    .min(0, { error: 'expected a price of at least 0' })
    .exactOptional()
    .describe('US dollars per picture in a request, besides its tokens; none if absent.'),
  long: z
    .strictObject({
      over: integer(1, most).describe('Of prompts with more tokens than this.'),
      input: perMillion.describe('US dollars per million input tokens.'),
      output: perMillion.describe('US dollars per million output tokens.'),
      cachedInput: perMillion.exactOptional().describe('As above, of long prompts; as their input if absent.'),
    })
    .exactOptional()
    .describe('What all tokens of a request with a long prompt cost; as any other if absent.'),
});

const yesOrNo = z.boolean({ error: 'expected true or false' });

const share = z
  .number({ error: 'expected a share from 0 to 1' })
  .min(0, { error: 'expected a share from 0 to 1' })
  .max(1, {
    error: 'expected a share from 0 to 1',
  });

const capabilitiesSchema = z.strictObject({
  vision: yesOrNo.default(true).describe('Whether it takes images.'),
  tools: yesOrNo.default(true).describe('Whether it calls tools.'),
  jsonSchema: yesOrNo.default(true).describe('Whether it follows a JSON schema.'),
});

const instanceSchema = z.strictObject({
  id: name.describe('Its name within the model; shown in answers and metrics.'),
  provider: text('the name of a provider').describe('The name of a provider.'),
  model: text('the name of a model of the provider').describe("The model's name in the provider's own words."),
  weight: integer(1, 1000).default(1).describe('Its share of the requests, relative to the others.'),
  priority: integer(1, 100).default(1).describe('Its tier for the strategy priority; 1 is asked first.'),
  maxInFlight: integer(1, 100_000).exactOptional().describe('Requests it may answer at the same time.'),
  rpm: integer(1, most).exactOptional().describe('Requests per minute it may be sent.'),
  tpm: integer(1, most).exactOptional().describe('Tokens per minute it may be sent and may answer.'),
  tags: z.array(text('a tag')).default([]).describe('For people; shown where instances are.'),
  contextLength: integer(1, most).exactOptional().describe('Tokens of prompt and answer together that it can take.'),
  maxOutputTokens: integer(1, most)
    .exactOptional()
    .describe('The most tokens that it answers with: what is held of limits and budgets where a request says nothing.'),
  capabilities: capabilitiesSchema.prefault({}).describe('What it can do; everything where nothing is said.'),
  price: priceSchema.exactOptional().describe("Overrides the provider's price of this model."),
});

const timeoutsSchema = z.strictObject({
  connectMs: milliseconds().default(5000).describe('To make a connection, in ms.'),
  firstByteMs: milliseconds().default(120_000).describe('Until the answer begins, in ms.'),
  firstTokenMs: milliseconds().default(120_000).describe('Until the first token of a streamed answer, in ms.'),
  idleMs: milliseconds().default(60_000).describe('Between two pieces of an answer, in ms.'),
  totalMs: milliseconds().default(600_000).describe('For the whole request over all attempts, in ms.'),
});

const healthSchema = z.strictObject({
  consecutiveFailures: integer(1, 1000).default(3).describe('Failures one after the other that take an instance out.'),
  failureRate: share.default(0.5).describe('The share of failures in the window that does.'),
  minRequests: integer(1, 100_000).default(20).describe('Requests in the window before the share counts.'),
  windowMs: milliseconds(100).default(30_000).describe('The window, in ms.'),
  ejectionMs: milliseconds()
    .default(1000)
    .describe('How long an instance is out at first; it doubles each time. In ms.'),
  maxEjectionMs: milliseconds().default(4500).describe('The longest it is out before it is probed again, in ms.'),
  slowStartMs: milliseconds(0).default(10_000).describe('How long it takes to get its whole weight back, in ms.'),
  lockMs: milliseconds().default(600_000).describe('How long it is out where it refuses our key or account, in ms.'),
  pauseMs: milliseconds().default(1000).describe('A pause where it wants one and does not say how long, in ms.'),
  maxPauseMs: milliseconds().default(3_600_000).describe('The longest pause, whatever the upstream asks for. In ms.'),
});

const queueSchema = z.strictObject({
  max: integer(0, 100_000).default(100).describe('Requests that may wait while every instance is at its maxInFlight.'),
  waitMs: milliseconds().default(10_000).describe('How long one of them does, in ms.'),
});

const retriesSchema = z.strictObject({
  attempts: integer(1, 20).default(3).describe('Attempts within this model, the first one included.'),
  ratio: share.default(0.2).describe('Retries as a share of its requests, so that an outage is not multiplied.'),
});

const modelIds = z.array(name, { error: 'expected a list of model ids' });

const fallbacksSchema = z.union([
  modelIds.transform((any) => ({ any, contextLength: [] as string[], contentPolicy: [] as string[] })),
  z.strictObject({
    any: modelIds.default([]).describe('Where the model cannot be had.'),
    contextLength: modelIds.default([]).describe('Where a prompt is too long for it.'),
    contentPolicy: modelIds.default([]).describe('Where its upstreams refuse the content.'),
  }),
]);

const hedgeSchema = z.strictObject({
  afterMs: milliseconds()
    .exactOptional()
    .describe("When a second instance is asked, in ms; by default after the model's own 95th percentile."),
  maxShare: share.default(0.05).describe('At most this share of requests, and of their cost, is asked twice.'),
});

/** One model of `models:`. */
export const modelSchema = z.strictObject({
  strategy: z.enum(strategyNames).default('round-robin').describe('How an instance is chosen.'),
  instances: z.array(instanceSchema).default([]).describe('Where the model is served. May be empty.'),
  fallbacks: fallbacksSchema
    .prefault([])
    .describe(
      'Models to turn to, in their order: a list, or one list each for "any", "contextLength", "contentPolicy".',
    ),
  timeouts: timeoutsSchema.prefault({}).describe('How long an upstream may take.'),
  health: healthSchema.prefault({}).describe('When an instance is taken out of use.'),
  queue: queueSchema.prefault({}).describe('Waiting where every instance is busy.'),
  retries: retriesSchema.prefault({}).describe('How often a failed attempt is made up for.'),
  hedge: hedgeSchema.exactOptional().describe('Ask a second instance where the first is slow. Off where absent.'),
  cache: cacheRuleSchema.exactOptional().describe('What is cached of it, where that differs from all others.'),
  resume: yesOrNo.default(false).describe('Whether another instance takes up a streamed answer that broke off.'),
});
