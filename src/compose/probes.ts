import type { ProviderConfig } from '../config/config.ts';
import type { RunAgent } from '../core/agent-runs.ts';
import type { Clock } from '../core/clock.ts';
import { systemTenant } from '../core/jobs.ts';
import type { Finding, Probes, WatchedInstance } from '../core/model-health.ts';
import type { Outgoing } from '../core/outgoing.ts';

/** How long an answer may take, and how much of it is read. */
const limits = { deadlineMs: 5000, maxBytes: 8 * 1024 * 1024 } as const;

/** Questions about instances, through the guard of outgoing connections. */
export function probesOf(parts: {
  readonly providers: Readonly<Record<string, ProviderConfig>>;
  readonly outgoing: Outgoing;
  readonly runAgent: RunAgent;
  readonly clock: Clock;
}): Probes {
  const { providers, outgoing, runAgent, clock } = parts;

  const ask = async ({ provider }: WatchedInstance, path: string): Promise<Finding & { readonly body?: Buffer }> => {
    const settings = providers[provider];
    if (settings === undefined || settings.kind === 'simulator') {
      return { state: 'up', latencyMs: 0, detail: null };
    }
    const key = settings.apiKey === null ? {} : { authorization: `Bearer ${settings.apiKey.reveal()}` };
    const startedAt = clock.monotonic();
    try {
      const { status, body } = await outgoing({
        url: `${settings.baseUrl}${path}`,
        headers: { accept: 'application/json', ...settings.headers, ...key },
        namedBy: 'config',
        ...limits,
      });
      const latencyMs = clock.monotonic() - startedAt;
      if (status >= 200 && status < 300) return { state: 'up', latencyMs, detail: null, body };
      if (status === 401 || status === 403) return { state: 'down', latencyMs, detail: 'It refuses our key.' };
      if (status >= 500) return { state: 'down', latencyMs, detail: `It answered ${status}.` };
      return { state: 'unknown', latencyMs, detail: `It answered ${status}.` };
    } catch (error) {
      return { state: 'down', latencyMs: null, detail: error instanceof Error ? error.message : String(error) };
    }
  };

  return {
    async list(instance) {
      const { body: _, ...finding } = await ask(instance, '/models');
      return finding;
    },
    async statistics(instance) {
      if (instance.providerKind !== 'openrouter' || !/^[\w.-]+\/[\w.:-]+$/.test(instance.upstreamModel)) return null;
      const { body, ...finding } = await ask(instance, `/models/${instance.upstreamModel}/endpoints`);
      return body === undefined ? finding : statisticsOf(body, finding);
    },
    async chat({ provider, upstreamModel }, signal) {
      const target = { model: `${provider}/${upstreamModel}` };
      try {
        const order = { target, input: '.', tenant: systemTenant, agents: null, subject: 'job:model-health', maxTokens: 1, signal };
        const { latencyMs } = await runAgent(order);
        return { state: 'up', latencyMs, detail: null };
      } catch (error) {
        return { state: 'down', latencyMs: null, detail: error instanceof Error ? error.message : String(error) };
      }
    },
  };
}

/** OpenRouter's list of endpoints: a model is up while one of them is. A negative status is one that is not used. */
function statisticsOf(body: Buffer, finding: Finding): Finding {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8'));
  } catch {
    return { ...finding, state: 'unknown', detail: 'Its statistics are no JSON.' };
  }
  const { data } = (parsed ?? {}) as { readonly data?: { readonly endpoints?: unknown } };
  const endpoints = (Array.isArray(data?.endpoints) ? data.endpoints : []) as Readonly<Record<string, unknown>>[];
  if (endpoints.length === 0) return { ...finding, state: 'unknown', detail: 'It lists no endpoints.' };
  const isUp = ({ status, uptime_last_30m: uptime }: Readonly<Record<string, unknown>>): boolean =>
    (typeof status !== 'number' || status >= 0) && (typeof uptime !== 'number' || uptime >= 50);
  const up = endpoints.filter(isUp).length;
  const detail = `${up} of ${endpoints.length} endpoints are up by its statistics.`;
  return { ...finding, state: up > 0 ? 'up' : 'down', detail };
}
