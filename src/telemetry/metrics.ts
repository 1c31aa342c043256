import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { FailureKind } from '../core/failure.ts';
import { failureTable } from '../core/failure.ts';
import type { RequestRecord } from '../core/request-record.ts';
import type { TrailStep } from '../core/trail.ts';
import { CacheMetrics } from './cache-metrics.ts';
import { QueueMetrics } from './queue-metrics.ts';
import { rareLookMs, watchEventLoop } from './event-loop.ts';
import { CounterFamily, HistogramFamily, SeriesMap } from './series.ts';

/** Seconds. From a cached answer to a long piece of reasoning. */
const longBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

/** Seconds. What Mizan adds. */
const shortBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

/** How an instance is doing. */
export interface InstanceState {
  readonly instance: string;
  readonly model: string;
  readonly isUp: boolean;
  readonly inFlight: number;
}

/** What came of an instance's attempts since the start of this process. */
export interface AttemptSums {
  readonly instance: string;
  /** The model's label. */
  readonly model: string;
  readonly ok: number;
  /** By the instance's own fault. */
  readonly failed: number;
  /** How long those took that were answered, all together, in ms. */
  readonly okMs: number;
}

function isAgainst(outcome: string): boolean {
  const { instance } = failureTable[outcome as FailureKind];
  return instance === 'failed' || instance === 'locked';
}

/** How a limit or a budget is doing. */
export interface LimitState {
  readonly name: string;
  readonly kind: 'requests' | 'tokens' | 'in_flight' | 'money';
  readonly limit: number;
  readonly used: number;
}

/**
 * The figures on `/metrics`. Names that no config bounds (principals, request ids, upstream models called directly)
 * never become label values.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly #requests = this.#counter('mizan_requests_total', 'Requests by outcome.', [
    'agent',
    'model',
    'instance',
    'status',
  ]);
  readonly #duration = this.#histogram(
    'mizan_request_duration_seconds',
    'From arrival to the end of the answer.',
    ['agent', 'model'],
    longBuckets,
  );
  readonly #overhead = this.#histogram(
    'mizan_overhead_seconds',
    'Time in Mizan itself: the whole request less its upstreams.',
    [],
    shortBuckets,
  ).series({});
  readonly #upstream = this.#histogram(
    'mizan_upstream_duration_seconds',
    'One attempt, from its start to its end.',
    ['instance', 'model'],
    longBuckets,
  );
  readonly #firstToken = this.#histogram(
    'mizan_time_to_first_token_seconds',
    'From arrival to the first token of a streamed answer.',
    ['model'],
    longBuckets,
  );
  readonly #tokens = this.#counter('mizan_tokens_total', 'Tokens, as upstreams count them.', [
    'agent',
    'model',
    'direction',
  ]);
  readonly #cost = this.#counter('mizan_cost_usd_total', 'What answers cost, in US dollars, where it is known.', [
    'agent',
    'model',
  ]);
  readonly #attempts = this.#counter('mizan_attempts_total', 'Attempts by outcome: ok, or the kind of failure.', [
    'instance',
    'model',
    'outcome',
  ]);
  readonly #refusals = this.#counter(
    'mizan_limit_refusals_total',
    'Refusals by limits and budgets: of requests, tokens, in_flight or money.',
    ['name', 'kind'],
  );
  readonly #refused = new SeriesMap((name, kind) => this.#refusals.series({ name, kind }));
  readonly #byModel = new SeriesMap((model) => this.#firstToken.series({ model }));
  readonly #byAgent = new SeriesMap((agent, model) => this.#seriesOf({ agent, model }));
  readonly #byInstance = new SeriesMap((instance, model) => ({
    upstream: this.#upstream.series({ instance, model }),
    okMs: 0,
    outcomes: new SeriesMap((outcome) => this.#attempts.series({ instance, model, outcome })),
  }));
  /** The response cache's. */
  readonly cache = new CacheMetrics(this.registry);
  /** Of requests that wait for room, or are refused while there is too much to do. */
  readonly queue = new QueueMetrics(this.registry);
  #running = 0;
  #isDatabaseUp = (): boolean => true;

  /** @param rowsPending How many records wait to be committed. */
  constructor(rowsPending: () => number) {
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: rareLookMs });
    watchEventLoop(this.registry);
    this.#gaugeOf('mizan_requests_in_flight', 'Requests that are being answered now.', () => this.#running);
    this.#gaugeOf('mizan_rows_pending', 'Rows of the request log that are not in the database yet.', rowsPending);
    this.#gaugeOf('mizan_database_up', '0 while the database can not be written or reached, 1 otherwise.', () =>
      this.#isDatabaseUp() ? 1 : 0,
    );
  }

  /** @param isUp Whether the database can be written and reached, asked for at every scrape. */
  watchDatabase(isUp: () => boolean): void {
    this.#isDatabaseUp = isUp;
  }

  /** @param read What was said and is not kept yet, and how much of it was given up, asked for at every scrape. */
  watchPayloads(read: () => { readonly pending: number; readonly dropped: number }): void {
    this.#gaugeOf('mizan_payloads_pending', 'Requests whose payloads are not kept yet.', () => read().pending);
    const registers = [this.registry];
    const dropped: Counter = new Counter({
      name: 'mizan_payloads_dropped_total',
      help: 'Requests whose payloads were given up, because too many waited.',
      registers,
      collect() {
        dropped.reset();
        dropped.inc(read().dropped);
      },
    });
  }

  /** @param read Whether Redis answers in time, and how often it did not; where this is not called, there is no such metric. */
  watchRedis(read: () => { readonly isUp: boolean; readonly unanswered: number }): void {
    const help = '0 while Redis does not answer in time, 1 otherwise.';
    this.#gaugeOf('mizan_redis_up', help, () => (read().isUp ? 1 : 0));
    const unanswered: Counter = new Counter({
      name: 'mizan_redis_unanswered_total',
      help: 'Questions that Redis did not answer in time, refused, or was not asked because it is away.',
      registers: [this.registry],
      collect() {
        unanswered.reset();
        unanswered.inc(read().unanswered);
      },
    });
  }

  /** Requests that are being answered now. */
  get inFlight(): number {
    return this.#running;
  }

  requestStarted(): void {
    this.#running++;
  }

  /** @param model The model's label, which may be less than its id. */
  requestEnded(record: RequestRecord, model: string, latencyMs: number): void {
    this.#running--;
    const series = this.#byAgent.get(record.agent ?? '', model);
    series.requests.get(record.instance ?? '', String(record.status)).add();
    series.duration.observe(latencyMs / 1000);
    this.#overhead.observe(Math.max(0, record.gatewayMs - (record.queuedMs ?? 0)) / 1000);
    if (record.firstTokenMs !== null) this.#byModel.get(model).observe(record.firstTokenMs / 1000);
    // Of cached answers the tokens were counted when they were made.
    if (record.cache === 'hit' || record.cache === 'coalesced') return;
    if (record.inputTokens !== null) series.tokens.get('input').add(record.inputTokens);
    if (record.outputTokens !== null) series.tokens.get('output').add(record.outputTokens);
    if (record.costUsd !== null) series.cost.get().add(record.costUsd);
  }

  /** @param model The model's label. */
  attemptEnded(model: string, { instance, outcome, durationMs }: TrailStep): void {
    const series = this.#byInstance.get(instance, model);
    series.outcomes.get(outcome).add();
    series.upstream.observe(durationMs / 1000);
    if (outcome === 'ok') series.okMs += durationMs;
  }

  /** What came of the attempts so far, by instance. Those that say nothing of their instance are not counted. */
  *attempts(): Generator<AttemptSums> {
    for (const [instance, model, { outcomes, okMs }] of this.#byInstance.all()) {
      const sums = { ok: 0, failed: 0 };
      for (const [outcome, , { value }] of outcomes.all()) {
        if (outcome === 'ok') sums.ok += value;
        else if (isAgainst(outcome)) sums.failed += value;
      }
      yield { instance, model, ...sums, okMs };
    }
  }

  /** @param name The limit's, where the configuration has it. */
  limitRefused(name: string, kind: LimitState['kind']): void {
    this.#refused.get(name, kind).add();
  }

  /** @param isByShare Where this is not called, there is no such metric. */
  watchSharing(isByShare: () => boolean): void {
    const help = '1 while this machine keeps to its share of the limits, since it can ask no other; 0 otherwise.';
    this.#gaugeOf('mizan_limits_by_share', help, () => (isByShare() ? 1 : 0));
  }

  /** @param read How the limits and budgets of the configuration are doing, asked for at every scrape. */
  watchLimits(read: () => Iterable<LimitState>): void {
    const registers = [this.registry];
    const labelNames = ['name', 'kind'] as const;
    const size: Gauge<'name' | 'kind'> = new Gauge({
      name: 'mizan_limit_size',
      help: 'How much a limit or budget allows: requests, tokens, in_flight, or money in US dollars.',
      labelNames,
      registers,
      collect() {
        for (const { name, kind, limit } of read()) size.set({ name, kind }, limit);
      },
    });
    const used: Gauge<'name' | 'kind'> = new Gauge({
      name: 'mizan_limit_used',
      help: 'How much of it is used and held now; where each counts for itself, by whoever uses most.',
      labelNames,
      registers,
      collect() {
        for (const state of read()) used.set({ name: state.name, kind: state.kind }, state.used);
      },
    });
  }

  #seriesOf(labels: { readonly agent: string; readonly model: string }) {
    const { agent, model } = labels;
    return {
      duration: this.#duration.series(labels),
      requests: new SeriesMap((instance, status) => this.#requests.series({ agent, model, instance, status })),
      tokens: new SeriesMap((direction) => this.#tokens.series({ agent, model, direction })),
      cost: new SeriesMap(() => this.#cost.series(labels)),
    };
  }

  /** @param read How the instances are doing, asked for at every scrape. */
  watchInstances(read: () => Iterable<InstanceState>): void {
    const registers = [this.registry];
    const labelNames = ['instance', 'model'] as const;
    const up: Gauge<'instance' | 'model'> = new Gauge({
      name: 'mizan_instance_up',
      help: '0 while the instance is out of use, 1 otherwise.',
      labelNames,
      registers,
      collect() {
        for (const { instance, model, isUp } of read()) up.set({ instance, model }, isUp ? 1 : 0);
      },
    });
    const inFlight: Gauge<'instance' | 'model'> = new Gauge({
      name: 'mizan_instance_in_flight',
      help: 'Requests that the instance is answering now.',
      labelNames,
      registers,
      collect() {
        for (const state of read()) inFlight.set({ instance: state.instance, model: state.model }, state.inFlight);
      },
    });
  }

  /** A gauge that is read when it is scraped. */
  #gaugeOf(name: string, help: string, read: () => number): void {
    const registers = [this.registry];
    const gauge: Gauge = new Gauge({ name, help, registers, collect: () => gauge.set(read()) });
  }

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[]): CounterFamily<L> {
    return new CounterFamily(this.registry, { name, help, labelNames });
  }

  #histogram<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    bounds: readonly number[],
  ): HistogramFamily<L> {
    return new HistogramFamily(this.registry, { name, help, labelNames, bounds });
  }
}
