import { Gauge } from 'prom-client';
import type { InstanceChecks } from '../core/model-health.ts';
import { uptimeWindows } from '../core/model-health.ts';
import type { Metrics } from './metrics.ts';

/** What was found of the instances when they were looked at last, read at every scrape. */
export function watchChecks({ registry }: Metrics, checks: InstanceChecks): void {
  const registers = [registry];
  const labelNames = ['instance', 'model'] as const;
  const up: Gauge<'instance' | 'model'> = new Gauge({
    name: 'mizan_instance_check_up',
    help: 'Whether the last look of model-health found that the instance answers; absent where nobody knows.',
    labelNames,
    registers,
    collect() {
      up.reset();
      for (const { instance, model, state } of checks.all()) {
        if (state !== 'unknown') up.set({ instance, model }, state === 'up' ? 1 : 0);
      }
    },
  });
  const latency: Gauge<'instance' | 'model'> = new Gauge({
    name: 'mizan_instance_check_latency_seconds',
    help: 'How long the instance took to answer, by the last look of model-health.',
    labelNames,
    registers,
    collect() {
      latency.reset();
      for (const { instance, model, latencyMs } of checks.all()) {
        if (latencyMs !== null) latency.set({ instance, model }, latencyMs / 1000);
      }
    },
  });
  const uptime: Gauge<'instance' | 'model' | 'window'> = new Gauge({
    name: 'mizan_instance_uptime_ratio',
    help: 'The share of attempts and questions that the instance answered, from 0 to 1.',
    labelNames: [...labelNames, 'window'],
    registers,
    collect() {
      uptime.reset();
      for (const { instance, model, uptime: shares } of checks.all()) {
        for (const window of Object.keys(uptimeWindows) as (keyof typeof uptimeWindows)[]) {
          const share = shares[window];
          if (share !== null) uptime.set({ instance, model, window: windowNames[window] }, share);
        }
      }
    },
  });
}

const windowNames = { m5: '5m', h1: '1h', d1: '1d' } as const;
