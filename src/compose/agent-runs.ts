import type { RunAgent } from '../core/agent-runs.ts';
import { messageOf, textOf } from '../core/chat.ts';
import { MizanError } from '../core/errors.ts';
import { newRequestId } from '../core/ids.ts';
import { JsonDocument } from '../core/json-document.ts';
import type { Flow } from '../flow/run.ts';
import { run } from '../flow/run.ts';

/** Requests that the clock sends go the way of all others. */
export function agentRuns(flow: Flow): RunAgent {
  return async ({ target, input, tenant, agents, countedAs, subject, maxTokens, signal }) => {
    const { clock } = flow;
    const id = newRequestId(clock.now());
    const more = maxTokens === undefined ? {} : { max_tokens: maxTokens };
    const body = { messages: [{ role: 'user', content: input }], ...more };
    const abort = new AbortController();
    const left = (): void => abort.abort(new MizanError('shutting_down', 'The job was told to stop.'));
    if (signal.aborted) left();
    signal.addEventListener('abort', left);
    const outcome = await run(
      {
        id,
        receivedAt: clock.now(),
        startedAt: clock.monotonic(),
        principal: {
          subject,
          tenant,
          role: 'member',
          agents,
          models: null,
          scope: 'own',
          via: 'job',
          credential: null,
          countedAs,
        },
        signal: abort.signal,
        body: Buffer.from(JSON.stringify(body)),
        read: () => ({
          target,
          body: JsonDocument.of({ model: '', ...body }),
          stream: false,
          wantsUsage: false,
          session: null,
        }),
        sink: { begin() {}, write: () => true },
        // A job wants to know how things are now.
        cacheControl: 'no-cache',
      },
      flow,
    );
    signal.removeEventListener('abort', left);
    if (outcome.error !== null) throw outcome.error;
    const message = outcome.answer === null ? null : messageOf(outcome.answer.completion);
    return {
      requestId: id,
      output: textOf(message),
      model: outcome.head.model,
      instance: outcome.head.instance,
      inputTokens: outcome.usage.inputTokens,
      outputTokens: outcome.usage.outputTokens,
      costUsd: outcome.usage.costUsd,
      latencyMs: outcome.latencyMs,
    };
  };
}
