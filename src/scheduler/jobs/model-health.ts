import type { Clock } from '../../core/clock.ts';
import type { JobStore } from '../../core/jobs.ts';
import type { Finding, InstanceReport, Probes, WatchedInstance } from '../../core/model-health.ts';
import type { NamedSums, Overviews } from '../../core/overview.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { JobContext, JobType } from '../contract.ts';
import { checkedSettings } from '../settings.ts';

export interface ModelHealthParts {
  readonly instances: readonly WatchedInstance[];
  readonly overviews: Overviews;
  readonly probes: Probes;
  readonly store: JobStore;
  readonly clock: Clock;
}

const minuteMs = 60_000;
const windows = { m5: 5 * minuteMs, h1: 60 * minuteMs, d1: 1440 * minuteMs } as const;

/** Below this share of good requests an instance with traffic counts as down. */
const leastUptime = 0.5;

/** The fewest requests that say something. */
const fewest = 3;

type Sums = NamedSums & { readonly model: string };
type Of<T> = { readonly [K in keyof typeof windows]: T };

/**
 * How every instance does: by the requests of all processes, which cost nothing more; where there were none, by the
 * provider's own statistics, or by a question. One process asks for all.
 */
export function modelHealth(parts: ModelHealthParts): JobType {
  return {
    name: 'model-health',
    async run(context) {
      const { instances, overviews, clock } = parts;
      const now = clock.now();
      const sumsOf = async (ms: number): Promise<readonly Sums[]> =>
        (await overviews.overview(everyTenant, { from: now - ms, to: now })).instances;
      const [m5, h1, d1] = await Promise.all([sumsOf(windows.m5), sumsOf(windows.h1), sumsOf(windows.d1)]);
      const reports: InstanceReport[] = [];
      for (const instance of instances) {
        context.signal.throwIfAborted();
        const found = { m5: sumsFor(m5, instance), h1: sumsFor(h1, instance), d1: sumsFor(d1, instance) };
        reports.push(await reportOf(instance, found, { parts, context }));
      }
      await sayChanges(reports, { parts, context });
      return { instances: reports };
    },
    check: (settings) =>
      checkedSettings(settings, {
        probe: {
          expected: 'must be off, list or chat',
          is: (value) => value === 'off' || value === 'list' || value === 'chat',
        },
      }),
  };
}

async function reportOf(
  instance: WatchedInstance,
  sums: Of<Sums | undefined>,
  { parts, context }: { readonly parts: ModelHealthParts; readonly context: JobContext },
): Promise<InstanceReport> {
  const { model, instance: id } = instance;
  const uptime = { m5: uptimeOf(sums.m5), h1: uptimeOf(sums.h1), d1: uptimeOf(sums.d1) };
  const known = { model, instance: id, uptime };
  const recent = sums.m5;
  if (recent !== undefined && recent.requests >= fewest) {
    const isUp = (uptime.m5 ?? 1) >= leastUptime;
    const detail = isUp ? null : `${recent.errors} of ${recent.requests} requests of the last 5 minutes failed.`;
    return { ...known, state: isUp ? 'up' : 'down', source: 'traffic', latency_ms: recent.latencyMs.p50, detail };
  }
  const statistics = await parts.probes.statistics(instance);
  if (statistics !== null && statistics.state !== 'unknown')
    return { ...known, source: 'statistics', ...shown(statistics) };
  const probe = context.job.settings['probe'] ?? 'list';
  if (probe === 'off') {
    return { ...known, state: 'unknown', source: 'none', latency_ms: null, detail: 'No traffic, and not to be asked.' };
  }
  const finding =
    probe === 'chat' ? await parts.probes.chat(instance, context.signal) : await parts.probes.list(instance);
  return { ...known, source: 'probe', ...shown(finding) };
}

function shown({ state, latencyMs, detail }: Finding) {
  return { state, latency_ms: latencyMs === null ? null : Math.round(latencyMs), detail };
}

function sumsFor(all: readonly Sums[], { model, instance }: WatchedInstance): Sums | undefined {
  return all.find((sums) => sums.model === model && sums.name === instance);
}

function uptimeOf(sums: Sums | undefined): number | null {
  if (sums === undefined || sums.requests === 0) return null;
  return Math.round((1 - sums.errors / sums.requests) * 10_000) / 10_000;
}

/** What is another state than the minute before is said. */
async function sayChanges(
  reports: readonly InstanceReport[],
  { parts, context }: { readonly parts: ModelHealthParts; readonly context: JobContext },
): Promise<void> {
  const [last] = await parts.store.runs(everyTenant, { limit: 1, jobs: [context.job.name], status: 'succeeded' });
  const output = last?.output as { readonly instances?: readonly InstanceReport[] } | null | undefined;
  for (const { model, instance, state, detail } of reports) {
    const before = output?.instances?.find((each) => each.model === model && each.instance === instance);
    if (before === undefined || before.state === state) continue;
    context.say(`${model}/${instance} was ${before.state} and is ${state}. ${detail ?? ''}`.trim());
  }
}
