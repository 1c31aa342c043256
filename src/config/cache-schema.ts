import { z } from 'zod';
import type { CacheRuleConfig } from './config.ts';
import { integer, milliseconds, size } from './fields.ts';

const seconds = integer(0, 31_536_000, 'seconds');
const yesOrNo = z.boolean({ error: 'expected true or false' });
const when = z.enum(['off', 'deterministic', 'always']);

/** What one agent, one model, or all of them may say. */
const ruleShape = {
  when: when.describe('Which requests: none, those with temperature 0 or a seed, or all of them.'),
  private: yesOrNo.describe('Whether answers are kept for each identity by itself, rather than for its tenant.'),
  ttl: seconds.describe('How long an answer is kept, in seconds.'),
  toolCalls: yesOrNo.describe('Whether answers that call tools are kept, too.'),
  staleWhileRevalidate: seconds.describe('How long an old answer is given while another is fetched, in seconds.'),
  staleIfError: seconds.describe('How long an old answer is given where no other can be had, in seconds.'),
  paceMs: milliseconds(0).describe('Between two pieces of a stream that comes from the cache, in ms; 0 for at once.'),
};

const partShape = {
  when: ruleShape.when.exactOptional(),
  private: ruleShape.private.exactOptional(),
  ttl: ruleShape.ttl.exactOptional(),
  toolCalls: ruleShape.toolCalls.exactOptional(),
  staleWhileRevalidate: ruleShape.staleWhileRevalidate.exactOptional(),
  staleIfError: ruleShape.staleIfError.exactOptional(),
  paceMs: ruleShape.paceMs.exactOptional(),
};

const words: Readonly<Record<'off' | 'deterministic' | 'always' | 'private', CacheRuleConfig>> = {
  off: { when: 'off' },
  deterministic: { when: 'deterministic' },
  always: { when: 'always' },
  private: { private: true },
};

/** `cache:` of a model or an agent: a word, or what it does differently. */
export const cacheRuleSchema = z.union([
  z.enum(['off', 'deterministic', 'always', 'private']).transform((word): CacheRuleConfig => words[word]),
  z.strictObject(partShape).transform((rule): CacheRuleConfig => rule),
]);

/** `cache:` of all. */
export const cacheSchema = z.strictObject({
  when: ruleShape.when.default('deterministic').describe(ruleShape.when.description ?? ''),
  private: ruleShape.private.default(false).describe(ruleShape.private.description ?? ''),
  ttl: ruleShape.ttl.default(3600).describe(ruleShape.ttl.description ?? ''),
  toolCalls: ruleShape.toolCalls.default(false).describe(ruleShape.toolCalls.description ?? ''),
  staleWhileRevalidate: ruleShape.staleWhileRevalidate
    .default(0)
    .describe(ruleShape.staleWhileRevalidate.description ?? ''),
  staleIfError: ruleShape.staleIfError.default(0).describe(ruleShape.staleIfError.description ?? ''),
  paceMs: ruleShape.paceMs.default(0).describe(ruleShape.paceMs.description ?? ''),
  maxBytes: size(0, 1024 ** 4, '0B to 1024GiB')
    .prefault('64MiB')
    .describe('The most memory for kept answers, in bytes or as a size such as "64MiB".'),
  maxBytesPerTenant: size(1, 1024 ** 4, '1B to 1024GiB')
    .exactOptional()
    .describe('What a tenant has more than this is removed by the hourly cleaning, in memory and in Redis alike.'),
});
