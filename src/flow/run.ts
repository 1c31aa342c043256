import type { ChatRequest } from '../core/chat.ts';
import type { Clock } from '../core/clock.ts';
import { MizanError } from '../core/errors.ts';
import type { Charge } from '../core/limit.ts';
import type { Random } from '../core/random.ts';
import type { RequestLog, RequestRecord } from '../core/request-record.ts';
import { unknownUsage } from '../core/usage.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Agents, Assignment } from './agents/agents.ts';
import type { Answered, AnswerOrder } from './attempts/order.ts';
import type { AnswerCache } from './cache/index.ts';
import type { AnswerHead, Call, Outcome } from './call.ts';
import { headWithoutAttempt } from './call.ts';
import type { Account } from './limits/account.ts';
import type { Limiter } from './limits/limiter.ts';
import type { Capture, Payloads } from './payloads/capture.ts';
import type { Overload } from './overload.ts';
import type { Models } from './routing/models.ts';
import { RequestNeeds } from './routing/needs.ts';
import type { Served } from './routing/served.ts';
import { tapped } from './tap.ts';

/** What the flow works with; made once, by the composition root. */
export interface Flow {
  readonly agents: Agents;
  readonly models: Models;
  readonly limiter: Limiter;
  /** `null` where the process is not protected from too many requests. */
  readonly overload: Overload | null;
  readonly cache: AnswerCache;
  readonly requestLog: RequestLog;
  readonly metrics: Metrics;
  /** `null` where nothing of what is said is ever kept. */
  readonly payloads: Payloads | null;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * The whole story of a request between its arrival and its last byte. It never rejects: whatever happens becomes an
 * outcome, and the outcome is committed to the request log before it is returned.
 */
export async function run(call: Call, flow: Flow): Promise<Outcome> {
  const { agents, models, limiter, cache, requestLog, metrics, payloads, clock, random } = flow;
  const story = newStory();
  metrics.requestStarted();
  try {
    flow.overload?.check(call.principal);
    const request = call.read();
    story.request = request;
    story.assignment = agents.assign(request, call.principal);
    story.served = models.find(story.assignment.model);
    const { agent, chat } = story.assignment;
    story.capture = payloads?.capture(agent?.name ?? null);
    const model = story.served.pool.model.id;
    const { principal, signal } = call;
    const admitted = limiter.admit({ principal, agent: agent?.name ?? null, model, signal });
    story.account = admitted instanceof Promise ? await admitted : admitted;
    if (story.account?.refusal) throw story.account.refusal;
    const order: AnswerOrder = {
      call: followed(withQuota(call, story.account), story.capture),
      agent: agent?.name ?? null,
      served: story.served,
      models,
      needs: new RequestNeeds(request, agent),
      chat,
      spending: story.account,
      clock,
      random,
      observe: (asked, step) => metrics.attemptEnded(asked.label, step),
    };
    story.answered = await cache.answer(order, (again) => run({ ...again, read: () => request }, flow));
    story.error = story.answered.error;
  } catch (error) {
    story.error = asMizanError(error, call, flow);
  }
  if (story.error?.code === 'client_closed' && call.signal.reason instanceof MizanError)
    story.error = call.signal.reason;
  const latencyMs = clock.monotonic() - call.startedAt;
  const record = recordOf(call, story, latencyMs, story.account?.close() ?? []);
  metrics.requestEnded(record, story.served?.pool.model.label ?? '', latencyMs);
  if (payloads !== null) keepPayload(call, story, payloads);
  await requestLog.append(record);
  return outcomeOf(story, latencyMs);
}

/** As much of them as the log keeps, in characters. */
const maxErrorMessage = 500;
const maxSession = 200;

/** What is known of a call so far. */
interface Story {
  request: ChatRequest | null;
  assignment: Assignment | null;
  served: Served | null;
  account: Account | null;
  answered: Answered | null;
  error: MizanError | null;
  /** Follows what is said; `undefined` before that was decided, `null` where nothing of it is kept. */
  capture: Capture | null | undefined;
}

function newStory(): Story {
  return {
    request: null,
    assignment: null,
    served: null,
    account: null,
    answered: null,
    error: null,
    capture: undefined,
  };
}

/** The call with somebody following its answer. */
function followed(call: Call, capture: Capture | null | undefined): Call {
  return capture === null || capture === undefined ? call : { ...call, sink: tapped(call.sink, capture.tap) };
}

/** Of a call that never came to an agent, too: its request is what explains why. */
function keepPayload(call: Call, { capture, answered, error }: Story, payloads: Payloads): void {
  const following = capture === undefined ? payloads.capture(null) : capture;
  following?.ended(call, { answer: answered?.last.answer ?? null, error });
}

function withAccount(head: AnswerHead, account: Account): AnswerHead {
  const { waitedMs } = account;
  const quota = account.quota();
  if (waitedMs === 0) return { ...head, quota };
  return { ...head, quota, queuedMs: waitedMs, gatewayMs: Math.max(0, head.gatewayMs - waitedMs) };
}

/** Streams say what is left of the caller's limits in their head. */
function withQuota(call: Call, account: Account | null): Call {
  if (account === null) return call;
  const begin = (head: AnswerHead): void => call.sink.begin(withAccount(head, account));
  return { ...call, sink: { begin, write: (events, drained) => call.sink.write(events, drained) } };
}

function outcomeOf({ assignment, served, account, answered, error }: Story, latencyMs: number): Outcome {
  const agent = assignment?.agent?.name ?? null;
  const model = served?.pool.model.id ?? null;
  const head = answered?.head ?? headWithoutAttempt({ agent, model, gatewayMs: latencyMs });
  return {
    head: account === null ? head : withAccount(head, account),
    error,
    answer: answered?.last.answer ?? null,
    usage: answered?.usage ?? unknownUsage,
    finishReason: answered?.last.finishReason ?? null,
    hasBegun: answered?.hasBegun ?? false,
    resumed: answered?.resumed ?? 0,
    latencyMs,
  };
}

function recordOf(call: Call, story: Story, latencyMs: number, charges: readonly Charge[]): RequestRecord {
  const { request, answered, error, assignment, served } = story;
  const head = answered?.head;
  const usage = answered?.usage ?? unknownUsage;
  const firstTokenAt = request?.stream === true ? (answered?.firstTokenAt ?? null) : null;
  const upstreamMs = head?.upstreamMs ?? 0;
  return {
    id: call.id,
    time: call.receivedAt,
    tenant: call.principal.tenant,
    principal: call.principal.subject,
    agent: assignment?.agent?.name ?? null,
    model: head?.model ?? served?.pool.model.id ?? null,
    instance: head?.instance ?? null,
    provider: head?.provider ?? null,
    stream: request?.stream ?? false,
    status: error?.status ?? 200,
    errorCode: error?.code ?? null,
    errorMessage: error === null ? null : ownWords(error, answered).slice(0, maxErrorMessage),
    attempts: head?.attempts ?? 0,
    cache: head?.cache ?? 'bypass',
    inputTokens: usage.inputTokens,
    outputTokens: usage.outputTokens,
    costUsd: usage.costUsd,
    usageSource: usage.source,
    gatewayMs: Math.max(0, latencyMs - upstreamMs),
    queuedMs: (story.account?.waitedMs ?? 0) > 0 ? (story.account?.waitedMs ?? 0) : null,
    upstreamMs,
    firstTokenMs: firstTokenAt === null ? null : firstTokenAt - call.startedAt,
    finishReason: answered?.last.finishReason ?? null,
    resumed: answered?.resumed ?? 0,
    session: request?.session?.slice(0, maxSession) ?? null,
    tags: request?.tags ?? null,
    trail: answered === null || answered.trail.length < 2 ? null : answered.trail,
    ...(charges.length === 0 ? {} : { charges }),
  };
}

/** An upstream's words may repeat the prompt and are the caller's alone; what is known of attempts is in our own. */
function ownWords(error: MizanError, answered: Answered | null): string {
  const failed = answered?.trail.findLast(({ outcome }) => outcome !== 'ok');
  return failed?.detail ?? error.message;
}

function asMizanError(error: unknown, call: Call, flow: Flow): MizanError {
  if (error instanceof MizanError) return error;
  flow.log.error({ event: 'request_crashed', requestId: call.id, err: error });
  return new MizanError('internal', 'Something went wrong inside Mizan; its log has the cause.', { cause: error });
}
