import type { Registry } from 'prom-client';
import { Gauge } from 'prom-client';
import type { Usage } from '../core/usage.ts';
import { CounterFamily, HistogramFamily, SeriesMap } from './series.ts';

/** How a request fared with the cache; `stale` is a hit that was past its time. */
export type CacheOutcome = 'hit' | 'stale' | 'miss' | 'coalesced' | 'bypass';

/** Seconds. From a look into memory to the deadline of Redis. */
const lookupBuckets = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05];

/** The figures of the response cache. */
export class CacheMetrics {
  readonly #registry: Registry;
  readonly #results: SeriesMap<{ add(amount?: number): void }>;
  readonly #tokens: SeriesMap<{ add(amount?: number): void }>;
  readonly #cost: SeriesMap<{ add(amount?: number): void }>;
  readonly #evictions: { add(amount?: number): void };
  readonly #refused: { add(amount?: number): void };
  readonly #lookups: SeriesMap<{ observe(seconds: number): void }>;

  constructor(registry: Registry) {
    this.#registry = registry;
    const results = new CounterFamily(registry, {
      name: 'mizan_cache_requests_total',
      help: 'Requests by what the cache did for them.',
      labelNames: ['result'],
    });
    const tokens = new CounterFamily(registry, {
      name: 'mizan_cache_saved_tokens_total',
      help: 'Tokens of answers that no upstream was asked for.',
      labelNames: ['model', 'direction'],
    });
    const cost = new CounterFamily(registry, {
      name: 'mizan_cache_saved_cost_usd_total',
      help: 'What those answers cost when they were made, in US dollars, where it is known.',
      labelNames: ['model'],
    });
    const lookups = new HistogramFamily(registry, {
      name: 'mizan_cache_lookup_seconds',
      help: 'Looking for an answer, by where: memory (with making the key), or Redis.',
      labelNames: ['tier'],
      bounds: lookupBuckets,
    });
    this.#results = new SeriesMap((result) => results.series({ result }));
    this.#tokens = new SeriesMap((model, direction) => tokens.series({ model, direction }));
    this.#cost = new SeriesMap((model) => cost.series({ model }));
    this.#lookups = new SeriesMap((tier) => lookups.series({ tier }));
    this.#evictions = new CounterFamily(registry, {
      name: 'mizan_cache_evictions_total',
      help: 'Answers that made room for newer ones in memory.',
      labelNames: [],
    }).series({});
    this.#refused = new CounterFamily(registry, {
      name: 'mizan_cache_refused_values_total',
      help: 'Values in Redis that did not open: altered, moved, or sealed with a key that is not there.',
      labelNames: [],
    }).series({});
  }

  answered(outcome: CacheOutcome): void {
    this.#results.get(outcome).add();
  }

  /** @param model The model's label. */
  saved(model: string, { inputTokens, outputTokens, costUsd }: Usage): void {
    if (inputTokens !== null) this.#tokens.get(model, 'input').add(inputTokens);
    if (outputTokens !== null) this.#tokens.get(model, 'output').add(outputTokens);
    if (costUsd !== null) this.#cost.get(model).add(costUsd);
  }

  lookedUp(tier: 'memory' | 'redis', ms: number): void {
    this.#lookups.get(tier).observe(ms / 1000);
  }

  evicted(): void {
    this.#evictions.add();
  }

  refused(): void {
    this.#refused.add();
  }

  /** @param read What is in memory, asked for at every scrape. */
  watch(read: () => { readonly bytes: number; readonly entries: number }): void {
    const registers = [this.#registry];
    const bytes: Gauge = new Gauge({
      name: 'mizan_cache_bytes',
      help: 'Memory that cached answers take.',
      registers,
      collect: () => bytes.set(read().bytes),
    });
    const entries: Gauge = new Gauge({
      name: 'mizan_cache_entries',
      help: 'Cached answers in memory.',
      registers,
      collect: () => entries.set(read().entries),
    });
  }
}
