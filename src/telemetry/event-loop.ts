import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Registry } from 'prom-client';
import { Gauge } from 'prom-client';

/**
 * How rarely prom-client's own watch over the event loop looks at the clock, in ms. At its usual 10 ms it wakes an idle
 * process a hundred times a second, and takes those 10 ms for a delay.
 */
export const rareLookMs = 600_000;

/** Puts how long turns of the event loop took since the last scrape in the place of prom-client's figures of delays. */
export function watchEventLoop(registry: Registry): void {
  const turns = monitorEventLoopDelay({ samplePerIteration: true });
  turns.enable();
  const figures: Readonly<Record<string, () => number>> = {
    min: () => turns.min,
    max: () => turns.max,
    mean: () => turns.mean,
    stddev: () => turns.stddev,
    p50: () => turns.percentile(50),
    p90: () => turns.percentile(90),
    p99: () => turns.percentile(99),
  };
  const collect = (): void => {
    for (const [figure, gauge] of gauges) gauge.set(turns.count === 0 ? 0 : (figures[figure]?.() ?? 0) / 1e9);
    turns.reset();
  };
  const gauges = Object.keys(figures).map((figure, i) => {
    const name = `nodejs_eventloop_lag_${figure}_seconds`;
    registry.removeSingleMetric(name);
    const help = `How long turns of the event loop took since the last scrape: ${figure}.`;
    // The first sets them all, so that a scrape shows figures of one time.
    return [figure, new Gauge({ name, help, registers: [registry], ...(i === 0 && { collect }) })] as const;
  });
}
