import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Config } from '../config/config.ts';
import type { QueueSettings } from '../flow/limits/queue.ts';
import { Overload } from '../flow/overload.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** How often the lag is sampled, and how often it is looked at, in ms. */
const resolutionMs = 10;
const lookMs = 250;

/** How requests wait for room in limits; `null` where they don't. */
export function queueOf({ limiting }: Pick<Config, 'limiting'>): QueueSettings | null {
  const { queue, weights } = limiting;
  return queue.waitMs === 0 ? null : { ...queue, weights };
}

/** Protection of the process from more than it can do; `null` where none is configured: then nothing is measured. */
export function overloadOf(
  { limiting }: Pick<Config, 'limiting'>,
  { metrics, log }: { readonly metrics: Metrics; readonly log: Log },
): { readonly overload: Overload; stop(): void } | null {
  const { lagMs } = limiting.overload;
  if (lagMs === 0) return null;
  const overload = new Overload(lagMs, {
    shed: (priority) => metrics.queue.shed(priority),
    changed: (level, lag) =>
      log.warn({ event: level === 0 ? 'overload_over' : 'overload', level, lagMs: Math.round(lag) }),
  });
  const delays = monitorEventLoopDelay({ resolution: resolutionMs });
  delays.enable();
  const timer = setInterval(() => {
    // After a reset the first sample is only a beginning. Reset at each look, turns longer than that would never count.
    if (delays.count === 0) return;
    overload.felt(Math.max(0, delays.mean / 1e6 - resolutionMs));
    delays.reset();
  }, lookMs).unref();
  return {
    overload,
    stop() {
      clearInterval(timer);
      delays.disable();
    },
  };
}
