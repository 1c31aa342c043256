import { z } from 'zod';
import type { ChatRequest } from '../../core/chat.ts';
import { MizanError } from '../../core/errors.ts';
import { JsonDocument } from '../../core/json-document.ts';
import { didYouMean } from '../../core/nearest.ts';
import { tagsOf } from '../tags.ts';

/** Request members that Mizan itself sets; `params` may not. */
const reserved: readonly string[] = ['model', 'messages', 'stream', 'stream_options'];

const message = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: z.union([z.string(), z.array(z.looseObject({ type: z.string() })), z.null()]).optional(),
});

/** The body of `POST /ai-process`. */
const processRequest = z.strictObject({
  agent: z.string().min(1).nullish().describe('The agent to run; the default agent where absent.'),
  input: z
    .union([z.string().min(1), z.array(message).min(1)])
    .describe('What to say to it: a text, or a list of messages with role and content.'),
  stream: z.boolean().nullish().describe('Answer as text/event-stream.'),
  session: z
    .string()
    .min(1)
    .max(200)
    .nullish()
    .describe('The conversation it belongs to: with the strategy sticky, its requests reach the same instance.'),
  params: z.record(z.string(), z.unknown()).nullish().describe("Request members over the agent's own: temperature, …"),
  metadata: z
    .record(z.string(), z.unknown())
    .nullish()
    .describe("The caller's own notes, for the request log; not sent to the model."),
});

const expectations: Readonly<Record<string, string>> = {
  agent: 'must be the name of an agent',
  input: 'must be a text or a list of at least one message, each with a role and content',
  stream: 'must be true or false',
  session: 'must be a text of 1 to 200 characters, or null',
  params: 'must be an object',
  metadata: 'must be an object',
};

/** @throws MizanError `invalid_request`, naming the field. */
export function readProcessRequest(body: JsonDocument): ChatRequest {
  const parsed = processRequest.safeParse(body.value);
  if (!parsed.success) throw refusal(parsed.error.issues);
  const { agent, input, stream, session, params, metadata } = parsed.data;
  for (const member of Object.keys(params ?? {})) {
    if (reserved.includes(member)) {
      const param = `params.${member}`;
      throw new MizanError('invalid_request', `${param} can't be set: Mizan sets it itself.`, { param });
    }
  }
  const messages = typeof input === 'string' ? [{ role: 'user', content: input }] : input;
  const isStream = stream === true;
  return {
    target: { agent: agent ?? null },
    body: JsonDocument.of({ model: '', messages, ...params, ...(isStream ? { stream: true } : {}) }),
    stream: isStream,
    wantsUsage: false,
    session: session ?? null,
    tags: tagsOf(metadata),
  };
}

/** A field that doesn't exist explains best why another is missing. */
function refusal(issues: readonly z.core.$ZodIssue[]): MizanError {
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  if (issue?.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const hint = didYouMean(key, Object.keys(processRequest.shape));
    return new MizanError('invalid_request', `There is no field "${key.slice(0, 100)}".${hint}`, { param: key });
  }
  const field = String(issue?.path[0] ?? '');
  return new MizanError('invalid_request', `${field} ${expectations[field] ?? 'is not as expected'}.`, {
    param: pathOf(issue?.path ?? []),
  });
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.map((part, i) => (typeof part === 'number' ? `[${part}]` : (i > 0 ? '.' : '') + String(part))).join('');
}
