import type { RunAgent } from '../core/agent-runs.ts';
import { messageOf, textOf } from '../core/chat.ts';
import type { ErrorCode } from '../core/errors.ts';
import { MizanError } from '../core/errors.ts';
import { failureTable } from '../core/failure.ts';
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
    if (outcome.error !== null) throw inOwnWords(outcome.error, id);
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

const codesOfUpstreams: ReadonlySet<ErrorCode> = new Set(Object.values(failureTable).map(({ code }) => code));

/** An upstream's words may repeat what was said to it; why a run failed is kept in clear, logged and told to webhooks. */
function inOwnWords(error: MizanError, requestId: string): MizanError {
  if (!codesOfUpstreams.has(error.code)) return error;
  const words = `The model did not answer (${error.code}); the request ${requestId} in the log says why.`;
  return new MizanError(error.code, words);
}
