import { deltaOf, messageOf, textOf } from '../../core/chat.ts';
import type { JsonObject } from '../../core/json-document.ts';
import type { Outcome } from '../../flow/call.ts';
import type { Dialect } from '../http/call.ts';
import { answerHeaders, beginStream } from '../http/respond.ts';
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
        for (const chunk of events.chunks) text += deltaEvent(deltaOf(chunk));
        if (text === '' || raw.write(text)) return true;
        raw.once('drain', drained);
        return false;
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
    if (outcome.error !== null) return event('error', outcome.error.toPublic(requestId));
    return event('done', summary(outcome, requestId));
  },
};

/** Everything about an answer but what it says. */
function summary(outcome: Outcome, requestId: string) {
  const { head, usage } = outcome;
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
    usage: { input_tokens: usage.inputTokens, output_tokens: usage.outputTokens, cost_usd: usage.costUsd },
    latency_ms: Math.round(outcome.latencyMs * 10) / 10,
  };
}

function deltaEvent(delta: JsonObject | null): string {
  const text = textOf(delta);
  const calls = toolCalls(delta);
  if (text === '' && calls.tool_calls === undefined) return '';
  return event('delta', text === '' ? calls : { text, ...calls });
}

/** Calls of the caller's own tools, which come as `params.tools`. */
function toolCalls(message: JsonObject | null): { readonly tool_calls?: unknown } {
  const calls = message?.['tool_calls'];
  return Array.isArray(calls) && calls.length > 0 ? { tool_calls: calls } : {};
}

function event(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
