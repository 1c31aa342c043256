import type { ChatRequest } from '../../core/chat.ts';
import { MizanError } from '../../core/errors.ts';
import type { JsonDocument, JsonObject } from '../../core/json-document.ts';
import type { Dialect } from '../http/call.ts';
import { answerHeaders, beginStream, writeEvents } from '../http/respond.ts';
import { tagsOf } from '../tags.ts';

/** OpenAI's Chat Completions: the upstream's bytes are relayed as they come. */
export const chatCompletions: Dialect = {
  read: readChatCompletion,
  sink(reply) {
    const { raw } = reply;
    return {
      begin: (head) => beginStream(raw, answerHeaders(reply.request.id, head)),
      write: (events, drained) => writeEvents(raw, events.bytes, drained),
    };
  },
  answer: (outcome) => outcome.answer?.bytes ?? Buffer.alloc(0),
  ending: (outcome, requestId) =>
    outcome.error === null ? 'data: [DONE]\n\n' : `data: ${JSON.stringify(outcome.error.toPublic(requestId))}\n\n`,
};

/** Checks what Mizan itself relies on; everything else is between the caller and the upstream. */
export function readChatCompletion(body: JsonDocument): ChatRequest {
  const { model, messages, stream, stream_options: options } = body.value;
  if (typeof model !== 'string' || model === '') throw wrong('model', 'must be the name of a model or agent/NAME');
  checkMessages(messages);
  if (stream !== undefined && stream !== null && typeof stream !== 'boolean') {
    throw wrong('stream', 'must be true or false');
  }
  if (options !== undefined && options !== null && (typeof options !== 'object' || Array.isArray(options))) {
    throw wrong('stream_options', 'must be an object');
  }
  const includeUsage = (options as JsonObject | null | undefined)?.['include_usage'];
  return {
    target: { model },
    body,
    stream: stream === true,
    wantsUsage: includeUsage === true,
    session: sessionOf(body),
    tags: tagsOf(body.value['metadata']),
  };
}

/** What OpenAI has for telling its cache, or its abuse watch, that requests belong together. */
function sessionOf({ value }: JsonDocument): string | null {
  const session = value['prompt_cache_key'] ?? value['session_id'] ?? value['user'];
  return typeof session === 'string' && session !== '' ? session : null;
}

function checkMessages(messages: unknown): void {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw wrong('messages', 'must be a list of at least one message');
  }
  for (const [index, message] of (messages as unknown[]).entries()) {
    if (typeof message !== 'object' || message === null || Array.isArray(message)) {
      throw wrong(`messages[${index}]`, 'must be an object with a role and content');
    }
    if (typeof (message as JsonObject)['role'] !== 'string') {
      throw wrong(`messages[${index}].role`, 'must be a role such as "user"');
    }
  }
}

function wrong(param: string, expected: string): MizanError {
  return new MizanError('invalid_request', `${param} ${expected}.`, { param });
}
