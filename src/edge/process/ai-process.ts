import type { ChatEvents } from '../../core/chat.ts';
import { deltaOf, messageOf, textOf } from '../../core/chat.ts';
import type { JsonObject } from '../../core/json-document.ts';
import type { Outcome } from '../../flow/call.ts';
import type { Dialect } from '../http/call.ts';
import { answerHeaders, beginStream, writeEvents } from '../http/respond.ts';
import { readProcessRequest } from './process-request.ts';

/** `POST /ai-process`: Mizan's own dialect, an agent and its input. */
export const aiProcess: Dialect = {
  read: readProcessRequest,
  sink(reply) {
    const { raw } = reply;
    return {
      begin: (head) => beginStream(raw, answerHeaders(reply.request.id, head)),
      write(events, drained) {
        let text = '';
        for (const data of deltasOf(events)) text += event('delta', data);
        return text === '' || writeEvents(raw, text, drained);
      },
    };
  },
  answer(outcome, requestId) {
    const message = outcome.answer === null ? null : messageOf(outcome.answer.completion);
    const { id, agent, model, instance, provider, ...rest } = summary(outcome, requestId);
    const output = { output: textOf(message), ...toolCalls(message) };
    return Buffer.from(JSON.stringify({ id, agent, model, instance, provider, ...output, ...rest }));
  },
  ending(outcome, requestId) {
    const { name, data } = lastEvent(outcome, requestId);
    return event(name, data);
  },
};

/** The event that ends a stream, once. */
export function lastEvent(outcome: Outcome, requestId: string): { readonly name: string; readonly data: unknown } {
  if (outcome.error !== null) return { name: 'error', data: outcome.error.toPublic(requestId) };
  return { name: 'done', data: summary(outcome, requestId) };
}

/** What the events add to the answer: the data of an event `delta` each. */
export function* deltasOf(events: ChatEvents): Generator<JsonObject> {
  for (const chunk of events.chunks) {
    const delta = deltaOf(chunk);
    const text = textOf(delta);
    const calls = toolCalls(delta);
    if (text !== '') yield { text, ...calls };
    else if (calls.tool_calls !== undefined) yield { ...calls };
  }
}

/** Everything about an answer but what it says. */
function summary(outcome: Outcome, requestId: string) {
  const { head, usage } = outcome;
  const isFree = head.cache === 'hit' || head.cache === 'coalesced';
  return {
    id: requestId,
    agent: head.agent,
    model: head.model,
    instance: head.instance,
    provider: head.provider,
    finish_reason: outcome.finishReason,
    cache: head.cache,
    attempts: head.attempts,
    ...(outcome.resumed === 0 ? {} : { resumed: outcome.resumed }),
    usage: {
      input_tokens: usage.inputTokens,
      output_tokens: usage.outputTokens,
      cost_usd: usage.costUsd,
      ...(isFree ? { charged: false } : {}),
    },
    latency_ms: Math.round(outcome.latencyMs * 10) / 10,
  };
}

/** Calls of the caller's own tools, which come as `params.tools`. */
function toolCalls(message: JsonObject | null): { readonly tool_calls?: unknown } {
  const calls = message?.['tool_calls'];
  return Array.isArray(calls) && calls.length > 0 ? { tool_calls: calls } : {};
}

function event(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
