import type { Registry } from 'prom-client';
import { Gauge } from 'prom-client';
import type { Priority } from '../core/priority.ts';
import { priorities } from '../core/priority.ts';
import { CounterFamily, HistogramFamily, SeriesMap } from './series.ts';

/** Seconds. */
const waitBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The figures of requests that wait for room in limits, and of those that are refused while there is too much to do. */
export class QueueMetrics {
  readonly #registry: Registry;
  readonly #waits: SeriesMap<{ observe(seconds: number): void }>;
  readonly #shed: SeriesMap<{ add(amount?: number): void }>;

  constructor(registry: Registry) {
    this.#registry = registry;
    const waits = new HistogramFamily(registry, {
      name: 'mizan_queue_wait_seconds',
      help: 'How long requests waited for room in limits, by class and by how it ended.',
      labelNames: ['class', 'end'],
      bounds: waitBuckets,
    });
    const shed = new CounterFamily(registry, {
      name: 'mizan_shed_total',
      help: 'Requests that were refused while the event loop lagged, by class.',
      labelNames: ['class'],
    });
    this.#waits = new SeriesMap((name, end) => waits.series({ class: name, end }));
    this.#shed = new SeriesMap((name) => shed.series({ class: name }));
  }

  /** @param end How it ended: admitted, late, left, full or refused. */
  waited(priority: Priority, end: string, waitedMs: number): void {
    this.#waits.get(priority, end).observe(waitedMs / 1000);
  }

  shed(priority: Priority): void {
    this.#shed.get(priority).add();
  }

  /** @param count How many of a class wait, asked for at every scrape; where this is not called, there is no such metric. */
  watch(count: (priority: Priority) => number): void {
    const registers = [this.#registry];
    const waiting: Gauge<'class'> = new Gauge({
      name: 'mizan_queue_waiting',
      help: 'Requests that wait for room in limits now, by class.',
      labelNames: ['class'],
      registers,
      collect() {
        for (const priority of priorities) waiting.set({ class: priority }, count(priority));
      },
    });
  }
}
