import { z } from 'zod';
import { Refusal } from './openai-error.ts';
import { countTokens } from './tokens.ts';

const part = z.object({ type: z.string(), text: z.string().optional(), refusal: z.string().optional() });

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: z.union([z.string(), z.array(part)]).nullish(),
  tool_calls: z
    .array(z.object({ function: z.object({ name: z.string(), arguments: z.string() }).optional() }))
    .nullish(),
});

const tool = z.object({
  type: z.literal('function'),
  function: z.object({
    name: z.string().min(1),
    description: z.string().nullish(),
    parameters: z.unknown().optional(),
  }),
});

const namedTool = z.object({ type: z.literal('function'), function: z.object({ name: z.string() }) });

const toolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  namedTool,
  z.object({
    type: z.literal('allowed_tools'),
    allowed_tools: z.object({ mode: z.enum(['auto', 'required']), tools: z.array(namedTool) }),
  }),
]);

const responseFormat = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  z.object({
    type: z.literal('json_schema'),
    json_schema: z.object({ name: z.string(), schema: z.unknown().optional() }),
  }),
]);

/** What the simulator reads of a body of OpenAI's Chat Completions; other members are accepted and do nothing. */
const schema = z.object({
  model: z.string().min(1).max(256),
  messages: z.array(message).min(1),
  n: z.int().min(1).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(4)]).nullish(),
  response_format: responseFormat.nullish(),
  tools: z.array(tool).nullish(),
  tool_choice: toolChoice.nullish(),
});

export type ChatBody = z.output<typeof schema>;
export type Message = ChatBody['messages'][number];
export type Tool = z.output<typeof tool>;

/** What a picture costs; OpenAI's figure for one of low detail. */
const tokensOfImage = 85;

/** A request that may be answered. */
export interface ChatRequest {
  readonly body: ChatBody;
  /** Tokens of all messages' texts, pictures and tool calls, and of the tools as JSON. */
  readonly promptTokens: number;
}

/**
 * Reads a request's body.
 * @throws Refusal with status 400 in OpenAI's words, naming the field.
 */
export function readRequest(bytes: Buffer): ChatRequest {
  let given: unknown;
  try {
    given = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new Refusal(400, 'We could not parse the JSON body of your request. The API expects a JSON payload.');
  }
  const parsed = schema.safeParse(given);
  if (!parsed.success) throw refusalOf(parsed.error, given);
  const body = parsed.data;
  if ((body.n ?? 1) > 1) {
    throw new Refusal(400, "Invalid value for 'n': the simulator gives one choice only.", {
      param: 'n',
      code: 'unsupported_value',
    });
  }
  if (body.stream_options && body.stream !== true) {
    const param = 'stream_options';
    throw new Refusal(400, `The '${param}' parameter is only allowed when 'stream' is enabled.`, { param });
  }
  if (body.tool_choice && !body.tools?.length) {
    throw new Refusal(400, "'tool_choice' is only allowed when 'tools' are specified.", { param: 'tool_choice' });
  }
  return { body, promptTokens: promptTokens(body, given) };
}

/** The text of a message, whichever way its content is given. */
export function textOf({ content }: Message): string {
  if (typeof content === 'string') return content;
  return (content ?? [])
    .map((each) => each.text ?? each.refusal ?? '')
    .join('\n')
    .trim();
}

function promptTokens(body: ChatBody, given: unknown): number {
  let count = 0;
  for (const each of body.messages) {
    count += countTokens(textOf(each));
    if (Array.isArray(each.content)) {
      count += tokensOfImage * each.content.filter(({ type }) => type === 'image_url').length;
    }
    for (const call of each.tool_calls ?? []) {
      if (call.function !== undefined) count += countTokens(call.function.name) + countTokens(call.function.arguments);
    }
  }
  if (body.tools?.length) count += countTokens(jsonOf((given as { tools: unknown }).tools));
  return count;
}

function jsonOf(tools: unknown): string {
  try {
    return JSON.stringify(tools);
  } catch {
    throw new Refusal(400, "Invalid 'tools': nested too deeply.", { param: 'tools' });
  }
}

function refusalOf(error: z.ZodError, given: unknown): Refusal {
  const issue = error.issues[0];
  const param = z.core.toDotPath(issue?.path ?? []);
  if (param === '') return new Refusal(400, 'The body of your request must be a JSON object.');
  if (valueAt(given, issue?.path ?? []) === undefined) {
    return new Refusal(400, `Missing required parameter: '${param}'.`, { param, code: 'missing_required_parameter' });
  }
  return new Refusal(400, `Invalid value for '${param}': ${issue?.message ?? 'it is not valid'}.`, {
    param,
    code: 'invalid_value',
  });
}

function valueAt(given: unknown, path: readonly PropertyKey[]): unknown {
  let value = given;
  for (const key of path) value = (value as Record<PropertyKey, unknown> | null | undefined)?.[key];
  return value;
}
