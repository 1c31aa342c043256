import type { Clock } from '../../core/clock.ts';
import type {
  CountSums,
  Finding,
  InstanceCheck,
  MinuteCount,
  ModelHealthStore,
  Probes,
  UptimeWindow,
  WatchedInstance,
} from '../../core/model-health.ts';
import { publicCheck, uptimeWindows } from '../../core/model-health.ts';
import type { JobContext, JobType } from '../contract.ts';
import { checkedSettings } from '../settings.ts';

export interface ModelHealthParts {
  readonly instances: readonly WatchedInstance[];
  readonly store: ModelHealthStore;
  readonly probes: Probes;
  readonly clock: Clock;
  /** Told of every instance whose state is another than it was. */
  readonly changed: (check: InstanceCheck, before: InstanceCheck) => void;
}

const minuteMs = 60_000;

/** How long minutes are kept: the longest time that uptime is told for, and an hour for clocks that differ. */
const keptMs = uptimeWindows.d1 + uptimeWindows.h1;

/** An instance that fails more than this share of its recent attempts is down, once there were so many. */
const leastUp = { share: 0.5, attempts: 3 } as const;

/** How many are asked at the same time. */
const atOnce = 8;

/** What is known of an instance before anybody is asked. */
interface Known {
  readonly watched: WatchedInstance;
  /** In this minute and the one before. */
  readonly recent: CountSums | undefined;
  readonly sums: { readonly [K in UptimeWindow]: CountSums | undefined };
  readonly before: InstanceCheck | undefined;
}

/** What is found out of it. */
interface Found extends Finding {
  readonly source: InstanceCheck['source'];
}

/**
 * How every instance does: by what came of the attempts of all processes, which costs nothing more; where there were none,
 * by the provider's own statistics, or by a question. One process asks for all.
 */
export function modelHealth(parts: ModelHealthParts): JobType {
  return {
    name: 'model-health',
    run: (context) => look(parts, context),
    check: (settings) =>
      checkedSettings(settings, {
        probe: {
          expected: 'must be off, list or chat',
          is: (value) => value === 'off' || value === 'list' || value === 'chat',
        },
      }),
  };
}

async function look(parts: ModelHealthParts, context: JobContext): Promise<unknown> {
  const { store, clock, changed } = parts;
  const now = clock.now();
  const known = await knownOf(parts, now);
  const findings = await each(known, (instance) => findingOf(instance, parts, context));
  context.signal.throwIfAborted();
  const checks = known.map((instance, i) => checkOf(instance, findings[i] ?? nothing, now));
  await context.confirm();
  const counts = checks.flatMap(countOf);
  if (counts.length > 0) await store.add(counts);
  await store.note(checks);
  await store.prune(now - keptMs);
  for (const [i, check] of checks.entries()) {
    const before = known[i]?.before;
    if (before === undefined || before.state === check.state) continue;
    changed(check, before);
    context.say(`${check.model}/${check.instance} was ${before.state} and is ${check.state}. ${check.detail ?? ''}`);
  }
  return {
    instances: checks.map((check) => ({ model: check.model, instance: check.instance, ...publicCheck(check) })),
  };
}

async function knownOf({ instances, store }: ModelHealthParts, now: number): Promise<Known[]> {
  const minute = Math.floor(now / minuteMs) * minuteMs;
  const [recent, m5, h1, d1, checks] = await Promise.all([
    store.sums(minute - minuteMs),
    store.sums(now - uptimeWindows.m5),
    store.sums(now - uptimeWindows.h1),
    store.sums(now - uptimeWindows.d1),
    store.checks(),
  ]);
  return instances.map((watched) => {
    const isIts = ({ model, instance }: { readonly model: string; readonly instance: string }): boolean =>
      model === watched.model && instance === watched.instance;
    const sums = { m5: m5.find(isIts), h1: h1.find(isIts), d1: d1.find(isIts) };
    return { watched, recent: recent.find(isIts), sums, before: checks.find(isIts) };
  });
}

const nothing: Found = { state: 'unknown', source: 'none', latencyMs: null, detail: null };

async function findingOf(known: Known, { probes }: ModelHealthParts, context: JobContext): Promise<Found> {
  const { watched, recent, sums } = known;
  const byTraffic = trafficOf(recent, sums.m5);
  if (byTraffic !== null) return byTraffic;
  const { signal, job } = context;
  const statistics = await probes.statistics(watched, signal);
  if (statistics !== null && statistics.state !== 'unknown') return { ...statistics, source: 'statistics' };
  const probe = job.settings['probe'] ?? 'list';
  if (probe === 'off') return { ...nothing, detail: 'It had no requests, and is not to be asked.' };
  const asked = probe === 'chat' ? await probes.chat(watched, signal) : await probes.list(watched, signal);
  return { ...asked, source: 'probe' };
}

/** What callers' attempts of the last minutes say; `null` where they say nothing. */
function trafficOf(recent: CountSums | undefined, m5: CountSums | undefined): Found | null {
  const { ok = 0, failed = 0 } = recent ?? {};
  const isMany = ok + failed >= leastUp.attempts;
  if (!isMany && ok === 0) return null;
  const isUp = !isMany || ok / (ok + failed) >= leastUp.share;
  const latencyMs = m5 === undefined || m5.ok === 0 ? null : Math.round(m5.okMs / m5.ok);
  const detail = failed === 0 ? null : `${failed} of its last ${ok + failed} attempts failed.`;
  return { state: isUp ? 'up' : 'down', source: 'traffic', latencyMs, detail };
}

function checkOf({ watched, sums, before }: Known, found: Found, now: number): InstanceCheck {
  const { model, instance } = watched;
  const { state, source, detail } = found;
  const isAsked = source === 'probe' || source === 'statistics';
  const own = isAsked && state !== 'unknown' ? { asked: 1, unanswered: state === 'down' ? 1 : 0 } : null;
  const uptime = { m5: uptimeOf(sums.m5, own), h1: uptimeOf(sums.h1, own), d1: uptimeOf(sums.d1, own) };
  return {
    model,
    instance,
    state,
    source,
    latencyMs: found.latencyMs === null ? null : Math.round(found.latencyMs),
    uptime,
    detail,
    downs: state === 'down' ? (before?.downs ?? 0) + 1 : 0,
    since: before?.state === state ? before.since : now,
    checkedAt: now,
  };
}

function uptimeOf(
  sums: CountSums | undefined,
  own: { readonly asked: number; readonly unanswered: number } | null,
): number | null {
  const { ok = 0, failed = 0, asked = 0, unanswered = 0 } = sums ?? {};
  const all = ok + failed + asked + (own?.asked ?? 0);
  const bad = failed + unanswered + (own?.unanswered ?? 0);
  return all === 0 ? null : Math.round((1 - bad / all) * 10_000) / 10_000;
}

/** A question of ours counts as one attempt does. */
function countOf({ model, instance, state, source, checkedAt }: InstanceCheck): MinuteCount[] {
  if (state === 'unknown' || (source !== 'probe' && source !== 'statistics')) return [];
  const start = Math.floor(checkedAt / minuteMs) * minuteMs;
  const none = { ok: 0, failed: 0, okMs: 0 };
  return [{ model, instance, start, ...none, asked: 1, unanswered: state === 'down' ? 1 : 0 }];
}

/** Some at a time, in their order. */
async function each<T, R>(all: readonly T[], ask: (one: T) => Promise<R>): Promise<R[]> {
  const found: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < all.length; at = next++) {
      const one = all[at];
      if (one !== undefined) found[at] = await ask(one);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, all.length) }, worker));
  return found;
}
