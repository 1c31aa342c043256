import type { Registry } from 'prom-client';

// Series that are looked up once and then counted in place. prom-client checks and hashes the labels at every
// observation, which for the five that a request makes is most of what metrics cost; here it only writes them out.

type Labels = Readonly<Record<string, string>>;

/** What a family is called, what it says, and by what its series differ. */
interface Facts<L extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly L[];
}

/** One line of the exposition, as prom-client's registry takes it. */
interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** One series of a counter. */
export class CountedSeries {
  value = 0;
  readonly labels: Labels;

  constructor(labels: Labels) {
    this.labels = labels;
  }

  add(amount = 1): void {
    this.value += amount;
  }
}

/** One series of a histogram. */
export class ObservedSeries {
  readonly labels: Labels;
  /** How many fell into each bucket, and last those above all of them. */
  readonly counts: Float64Array;
  sum = 0;
  readonly #bounds: readonly number[];

  constructor(labels: Labels, bounds: readonly number[]) {
    this.labels = labels;
    this.counts = new Float64Array(bounds.length + 1);
    this.#bounds = bounds;
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] ?? 0)) bucket++;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sum += value;
  }
}

/** A counter in `registry`. Whoever asks for a series keeps it. */
export class CounterFamily<L extends string> {
  readonly #series: CountedSeries[] = [];

  constructor(registry: Registry, facts: Facts<L>) {
    register(registry, { ...facts, type: 'counter' }, () => this.#series);
  }

  series(labels: Readonly<Record<L, string>>): CountedSeries {
    const series = new CountedSeries(labels);
    this.#series.push(series);
    return series;
  }
}

/** A histogram in `registry`, with buckets up to and including each of `bounds`. Whoever asks for a series keeps it. */
export class HistogramFamily<L extends string> {
  readonly #bounds: readonly number[];
  readonly #series: ObservedSeries[] = [];

  constructor(registry: Registry, facts: Facts<L> & { readonly bounds: readonly number[] }) {
    const { bounds, ...rest } = facts;
    this.#bounds = bounds;
    register(registry, { ...rest, type: 'histogram' }, () =>
      this.#series.flatMap((series) => samplesOf(rest.name, series, bounds)),
    );
  }

  series(labels: Readonly<Record<L, string>>): ObservedSeries {
    const series = new ObservedSeries(labels, this.#bounds);
    this.#series.push(series);
    return series;
  }
}

/** What was made for one or two label values, made when it is first asked for. */
export class SeriesMap<T> {
  readonly #make: (one: string, other: string) => T;
  readonly #made = new Map<string, Map<string, T>>();

  constructor(make: (one: string, other: string) => T) {
    this.#make = make;
  }

  get(one = '', other = ''): T {
    let row = this.#made.get(one);
    if (row === undefined) this.#made.set(one, (row = new Map()));
    let made = row.get(other);
    if (made === undefined) row.set(other, (made = this.#make(one, other)));
    return made;
  }

  /** All that were made, each with its values. */
  *all(): Generator<readonly [one: string, other: string, made: T]> {
    for (const [one, row] of this.#made) for (const [other, made] of row) yield [one, other, made];
  }
}

function samplesOf(name: string, { labels, counts, sum }: ObservedSeries, bounds: readonly number[]): Sample[] {
  const metricName = `${name}_bucket`;
  let count = 0;
  const buckets = Array.from(counts, (inBucket, i) => {
    count += inBucket;
    return { metricName, labels: { le: bounds[i] ?? '+Inf', ...labels }, value: count };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

/** The registry asks nothing of a metric but this; its types know only prom-client's own classes. */
function register(
  registry: Registry,
  facts: Facts<string> & { readonly type: 'counter' | 'histogram' },
  read: () => readonly Sample[],
): void {
  const metric = { ...facts, aggregator: 'sum', get: async () => ({ ...facts, aggregator: 'sum', values: read() }) };
  registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0]);
}
