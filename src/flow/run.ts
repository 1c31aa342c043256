import type { Clock } from '../core/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { RequestLog, RequestRecord } from '../core/request-record.ts';
import { unknownUsage } from '../core/usage.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Agents, Assignment } from './agents/agents.ts';
import type { AttemptsResult } from './attempts.ts';
import { makeAttempts } from './attempts.ts';
import type { Call, Outcome } from './call.ts';
import type { Model } from './routing/model.ts';
import type { Models } from './routing/models.ts';

/** What the flow works with; made once, by the composition root. */
export interface Flow {
  readonly agents: Agents;
  readonly models: Models;
  readonly requestLog: RequestLog;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly clock: Clock;
}

/**
 * The whole story of a request between its arrival and its last byte. It never rejects: whatever happens becomes an
 * outcome, and the outcome is committed to the request log before it is returned.
 */
export async function run(call: Call, flow: Flow): Promise<Outcome> {
  const { agents, models, requestLog, metrics, clock } = flow;
  const story: Story = { stream: false, assignment: null, model: null, attempts: null, error: null };
  metrics.requestStarted();
  try {
    const request = call.read();
    story.stream = request.stream;
    story.assignment = agents.assign(request, call.principal);
    story.model = models.find(story.assignment.model);
    const { agent, chat } = story.assignment;
    story.attempts = await makeAttempts({
      call,
      agent: agent?.name ?? null,
      model: story.model,
      chat,
      clock,
      observe: (instance, model, result) => metrics.attemptEnded(instance.id, model.label, result),
    });
    story.error = story.attempts.error;
  } catch (error) {
    story.error = asMizanError(error, call, flow);
  }
  const latencyMs = clock.monotonic() - call.startedAt;
  const record = recordOf(call, story, latencyMs);
  metrics.requestEnded(record, story.model?.label ?? '', latencyMs);
  await requestLog.append(record);
  return outcomeOf(story, latencyMs);
}

/** What is known of a call so far. */
interface Story {
  stream: boolean;
  assignment: Assignment | null;
  model: Model | null;
  attempts: AttemptsResult | null;
  error: MizanError | null;
}

function outcomeOf(story: Story, latencyMs: number): Outcome {
  const last = story.attempts?.last;
  return {
    head: story.attempts?.head ?? null,
    error: story.error,
    answer: last?.answer ?? null,
    usage: last?.usage ?? unknownUsage,
    finishReason: last?.finishReason ?? null,
    hasBegun: last?.hasDelivered ?? false,
    latencyMs,
  };
}

function recordOf(call: Call, story: Story, latencyMs: number): RequestRecord {
  const { attempts, error } = story;
  const head = attempts?.head;
  const last = attempts?.last;
  const usage = last?.usage ?? unknownUsage;
  const firstTokenAt = last?.firstTokenAt ?? null;
  const upstreamMs = head?.upstreamMs ?? 0;
  return {
    id: call.id,
    time: call.receivedAt,
    tenant: call.principal.tenant,
    principal: call.principal.subject,
    agent: story.assignment?.agent?.name ?? null,
    model: story.model?.id ?? null,
    instance: head?.instance ?? null,
    provider: head?.provider ?? null,
    stream: story.stream,
    status: error?.status ?? 200,
    errorCode: error?.code ?? null,
    attempts: head?.attempts ?? 0,
    cache: head?.cache ?? 'bypass',
    inputTokens: usage.inputTokens,
    outputTokens: usage.outputTokens,
    costUsd: usage.costUsd,
    usageSource: usage.source,
    gatewayMs: Math.max(0, latencyMs - upstreamMs),
    upstreamMs,
    firstTokenMs: firstTokenAt === null ? null : firstTokenAt - call.startedAt,
    finishReason: last?.finishReason ?? null,
  };
}

function asMizanError(error: unknown, call: Call, flow: Flow): MizanError {
  if (error instanceof MizanError) return error;
  flow.log.error({ event: 'request_crashed', requestId: call.id, err: error });
  return new MizanError('internal', 'Something went wrong inside Mizan; its log has the cause.', { cause: error });
}
