import type { RunAgent } from '../core/agent-runs.ts';
import type { Clock } from '../core/clock.ts';
import type { ErrorCode } from '../core/errors.ts';
import { MizanError } from '../core/errors.ts';
import { systemTenant } from '../core/jobs.ts';
import type { Finding, Probes, WatchedInstance } from '../core/model-health.ts';
import type { LookedUp, Provider } from '../core/upstream.ts';

export interface ProbeParts {
  /** By their names. */
  readonly providers: ReadonlyMap<string, Provider>;
  readonly runAgent: RunAgent;
  readonly clock: Clock;
  /** How long a list may take, and a token; in ms. */
  readonly deadlines?: { readonly list: number; readonly chat: number };
}

const usualDeadlines = { list: 5000, chat: 15_000 };

/** The most that is read of an answer, in bytes: OpenRouter's list is some hundred KiB. */
const maxBytes = 8 * 1024 * 1024;

/** A provider's answer serves all its instances for so long, in ms: one run asks once. */
const sharedMs = 2000;

/** An endpoint of OpenRouter's with less than this share of good answers, in percent, is not one to count on. */
const leastUptime = 50;

/** Questions about instances, on the connections that their requests go over. */
export function probesOf(parts: ProbeParts): Probes {
  const { runAgent, clock, deadlines = usualDeadlines } = parts;
  const share = sharing(clock);
  const ask = (provider: string, path: string, signal: AbortSignal): Promise<Asked> =>
    asked(parts, { provider, path, deadlineMs: deadlines.list, signal });
  return {
    list: ({ provider }, signal) =>
      share(`${provider} list`, async () => {
        const { body: _, ...finding } = await ask(provider, '/models', signal);
        return finding;
      }),
    async statistics(instance, signal) {
      const { provider, providerKind, upstreamModel } = instance;
      if (providerKind !== 'openrouter' || !hasStatistics(instance)) return null;
      return share(`${provider} ${upstreamModel}`, async () => {
        const { body, ...finding } = await ask(provider, `/models/${upstreamModel}/endpoints`, signal);
        return body === null ? { ...finding, state: 'unknown' } : statisticsOf(body);
      });
    },
    chat: (instance, signal) => chat(instance, signal, { runAgent, deadlineMs: deadlines.chat }),
  };
}

interface Asked extends Finding {
  /** Of a success. */
  readonly body: Buffer | null;
}

/** Those who ask the same at about the same time share what is found. */
function sharing(clock: Clock): (what: string, find: () => Promise<Finding>) => Promise<Finding> {
  const shared = new Map<string, { readonly at: number; readonly finding: Promise<Finding> }>();
  return (what, find) => {
    const now = clock.monotonic();
    for (const [key, { at }] of shared) if (now - at >= sharedMs) shared.delete(key);
    const known = shared.get(what) ?? { at: now, finding: find() };
    shared.set(what, known);
    return known.finding;
  };
}

async function asked(
  { providers, clock }: ProbeParts,
  question: {
    readonly provider: string;
    readonly path: string;
    readonly deadlineMs: number;
    readonly signal: AbortSignal;
  },
): Promise<Asked> {
  const { provider, ...lookUp } = question;
  const startedAt = clock.monotonic();
  const found = await providers.get(provider)?.lookUp?.({ ...lookUp, maxBytes });
  if (found === undefined) return { state: 'unknown', latencyMs: null, detail: 'It can not be asked.', body: null };
  const latencyMs = found.kind === 'answer' ? clock.monotonic() - startedAt : null;
  const body = found.kind === 'answer' && found.status >= 200 && found.status < 300 ? found.body : null;
  return { ...sayingOf(found), latencyMs, body };
}

/** What an answer to a question proves. One that was refused for what it asks proves nothing of chats. */
function sayingOf(found: LookedUp): Pick<Finding, 'state' | 'detail'> {
  switch (found.kind) {
    case 'answer': {
      const { status } = found;
      if (status >= 200 && status < 300) return { state: 'up', detail: null };
      if (status === 401) return { state: 'down', detail: 'It refuses our key.' };
      return { state: status >= 500 ? 'down' : 'unknown', detail: `It answered with status ${status}.` };
    }
    case 'aborted':
    case 'forbidden':
      return { state: 'unknown', detail: `It was not asked: ${found.reason}.` };
    case 'unreachable':
      return { state: 'down', detail: `It could not be reached: ${found.reason}.` };
    case 'broken':
    case 'late':
      return { state: 'down', detail: `It did not answer: ${found.reason}.` };
  }
}

/** What says that the upstream doesn't answer chats. Whoever refuses one, or wants a pause, is there to be asked. */
const downCodes: ReadonlySet<ErrorCode> = new Set([
  'upstream_error',
  'upstream_timeout',
  'upstream_protocol',
  'upstream_truncated',
  'upstream_unauthorized',
  'unknown_model',
  'no_healthy_instance',
]);

async function chat(
  { provider, upstreamModel }: WatchedInstance,
  signal: AbortSignal,
  { runAgent, deadlineMs }: { readonly runAgent: RunAgent; readonly deadlineMs: number },
): Promise<Finding> {
  const late = AbortSignal.timeout(deadlineMs);
  const order = {
    target: { model: `${provider}/${upstreamModel}` },
    input: '.',
    tenant: systemTenant,
    agents: null,
    subject: 'job:model-health',
    maxTokens: 1,
    signal: AbortSignal.any([signal, late]),
  };
  try {
    const { latencyMs } = await runAgent(order);
    return { state: 'up', latencyMs, detail: null };
  } catch (error) {
    if (signal.aborted) return { state: 'unknown', latencyMs: null, detail: 'It was not asked to the end.' };
    if (late.aborted) return { state: 'down', latencyMs: null, detail: `No answer within ${deadlineMs / 1000} s.` };
    const code = error instanceof MizanError ? error.code : 'internal';
    return { state: downCodes.has(code) ? 'down' : 'unknown', latencyMs: null, detail: `It ended with ${code}.` };
  }
}

/** OpenRouter names models by author and name. */
function hasStatistics({ upstreamModel }: WatchedInstance): boolean {
  return /^[\w.-]+\/[\w.:-]+$/.test(upstreamModel);
}

/**
 * OpenRouter's list of a model's endpoints: the model is up while one of them is. A negative status is one that is not
 * used; uptimes are in percent, latencies in ms to the first token.
 */
function statisticsOf(body: Buffer): Finding {
  const none = (detail: string): Finding => ({ state: 'unknown', latencyMs: null, detail });
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8'));
  } catch {
    return none('Its statistics are no JSON.');
  }
  const { data } = (parsed ?? {}) as { readonly data?: { readonly endpoints?: unknown } };
  const endpoints = (Array.isArray(data?.endpoints) ? (data.endpoints as unknown[]) : []).filter(
    (each): each is Endpoint => typeof each === 'object' && each !== null,
  );
  if (endpoints.length === 0) return none('Its statistics list no endpoints.');
  const up = endpoints.filter(isUp);
  const latencies = up.flatMap(({ latency_last_30m: latency }) => numberOf(latency?.p50) ?? []);
  const detail = `${up.length} of ${endpoints.length} endpoints are up by its statistics.`;
  const latencyMs = latencies.length === 0 ? null : Math.min(...latencies);
  return { state: up.length > 0 ? 'up' : 'down', latencyMs, detail };
}

interface Endpoint {
  readonly status?: unknown;
  readonly uptime_last_5m?: unknown;
  readonly uptime_last_30m?: unknown;
  readonly latency_last_30m?: { readonly p50?: unknown } | null;
}

function isUp({ status, uptime_last_5m: m5, uptime_last_30m: m30 }: Endpoint): boolean {
  const uptime = numberOf(m5) ?? numberOf(m30);
  return (numberOf(status) ?? 0) >= 0 && (uptime === null || uptime >= leastUptime);
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}
