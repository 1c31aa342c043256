import type { JsonObject } from '../../core/json-document.ts';
import type { Answer } from './answer.ts';

/** What every body and chunk of one answer says of it. */
export interface Envelope {
  readonly id: string;
  /** Seconds since the Unix epoch. */
  readonly created: number;
  readonly model: string;
  readonly promptTokens: number;
}

/** A stream in its parts, each of whole events. */
export interface StreamParts {
  /** The first event: the role, and of a call its id and name. */
  readonly opening: string;
  /** One event for each token. */
  readonly tokens: readonly string[];
  /** The finish reason, and the usage if that was asked for. */
  readonly finish: string;
  readonly terminator: string;
}

const fingerprint = 'fp_simulator';

function usageOf(answer: Answer, { promptTokens }: Envelope): JsonObject {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: answer.completionTokens,
    total_tokens: promptTokens + answer.completionTokens,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}

/** The body of an answer that is not streamed: OpenAI's `chat.completion`. */
export function completionOf(answer: Answer, envelope: Envelope): JsonObject {
  const said = answer.tokens.join('');
  const content = answer.kind === 'text' ? said : null;
  const calls =
    answer.kind === 'text'
      ? {}
      : { tool_calls: [{ id: answer.id, type: 'function', function: { name: answer.name, arguments: said } }] };
  return {
    id: envelope.id,
    object: 'chat.completion',
    created: envelope.created,
    model: envelope.model,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content, ...calls, refusal: null, annotations: [] },
        logprobs: null,
        finish_reason: answer.finish,
      },
    ],
    usage: usageOf(answer, envelope),
    service_tier: 'default',
    system_fingerprint: fingerprint,
  };
}

/** One event of a stream (Server-Sent Events) with JSON in it. */
export function eventOf(json: string): string {
  return `data: ${json}\n\n`;
}

/** The same answer as a stream of OpenAI's `chat.completion.chunk`. */
export function streamOf(answer: Answer, envelope: Envelope, includeUsage: boolean): StreamParts {
  const { id, created, model } = envelope;
  const common = {
    id,
    object: 'chat.completion.chunk',
    created,
    model,
    service_tier: 'default',
    system_fingerprint: fingerprint,
  };
  // The members around a delta are the same in every event, so they are made once.
  const before = `${JSON.stringify(common).slice(0, -1)},"choices":[{"index":0,"delta":`;
  const usage = includeUsage ? ',"usage":null' : '';
  const chunk = (delta: string, finish: string): string =>
    eventOf(`${before}${delta},"logprobs":null,"finish_reason":${finish}}]${usage}}`);
  const [opening, start, end] = deltasOf(answer);
  const last = includeUsage
    ? eventOf(JSON.stringify({ ...common, choices: [], usage: usageOf(answer, envelope) }))
    : '';
  return {
    opening: chunk(opening, 'null'),
    tokens: answer.tokens.map((token) => chunk(`${start}${JSON.stringify(token)}${end}`, 'null')),
    finish: chunk('{}', JSON.stringify(answer.finish)) + last,
    terminator: 'data: [DONE]\n\n',
  };
}

/** The first delta, and what stands before and after a token in the ones that follow. */
function deltasOf(answer: Answer): readonly [opening: string, start: string, end: string] {
  if (answer.kind === 'text') return ['{"role":"assistant","content":"","refusal":null}', '{"content":', '}'];
  const call = { index: 0, id: answer.id, type: 'function', function: { name: answer.name, arguments: '' } };
  const opening = JSON.stringify({ role: 'assistant', content: null, tool_calls: [call], refusal: null });
  return [opening, '{"tool_calls":[{"index":0,"function":{"arguments":', '}}]}'];
}
