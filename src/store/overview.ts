import type { Kysely, Selectable } from 'kysely';
import type { NamedSums, Overview, OverviewQuery, Sums } from '../core/overview.ts';
import { publicOverview } from '../core/overview.ts';
import type { TenantScope } from '../core/request-record.ts';
import { everyTenant } from '../core/request-record.ts';
import { grains, startOf } from './rollups.ts';
import type { Database, RollupsTable } from './schema.ts';
import type { Sketch } from './sketch.ts';
import { addSketch, percentile, readSketch } from './sketch.ts';

const hourMs = grains.hour * 1000;

/** Names that are listed at most. */
const mostNames = 100;

/** Minutes for a few hours, hours for two weeks, days for whatever is longer: some hundred steps at most. */
function grainFor(spanMs: number): number {
  if (spanMs <= 6 * hourMs) return grains.minute;
  return spanMs <= 14 * 24 * hourMs ? grains.hour : grains.day;
}

/** A scope as it can be sent to a thread: `null` for every tenant. */
export function tenantIn(scope: TenantScope): string | null {
  return scope === everyTenant ? null : scope;
}

/** An overview that was read just now, as it is shown outside. */
export function overviewJson(overview: Overview): string {
  return JSON.stringify(publicOverview(overview, Date.now()));
}

/** Reads the sums, so that a year costs as little as an hour. Sums of minutes are kept for less long than others. */
export async function readOverview(
  db: Kysely<Database>,
  tenant: string | null,
  query: OverviewQuery,
): Promise<Overview> {
  const grain = grainFor(query.to - query.from);
  const overview = await readAt(db, grain, tenant, query);
  const isOld = grain === grains.minute && overview.total.requests === 0;
  return isOld ? readAt(db, grains.hour, tenant, query) : overview;
}

/** The steps that a question is answered in: how long each is, in seconds, and the time that all of them take. */
export function stepsOf(query: OverviewQuery, grain = grainFor(query.to - query.from)) {
  return { grain, from: startOf(query.from, grain), to: startOf(query.to - 1, grain) + grain * 1000 };
}

async function readAt(
  db: Kysely<Database>,
  grain: number,
  tenant: string | null,
  query: OverviewQuery,
): Promise<Overview> {
  const { from, to } = stepsOf(query, grain);
  let select = db.selectFrom('rollups').selectAll().where('grain', '=', grain);
  if (tenant !== null) select = select.where('tenant', '=', tenant);
  select = select.where('start', '>=', from).where('start', '<', to);
  if (query.agent !== undefined) select = select.where('agent', '=', query.agent);
  if (query.model !== undefined) select = select.where('model', '=', query.model);
  if (query.instance !== undefined) select = select.where('instance', '=', query.instance);
  // Each row is read once and added twice; what all sums have in common is added up from those of the names.
  const series = new Groups<number>();
  const parts = new Groups<string>();
  for (const row of await select.execute()) {
    const latency = readSketch(row.latency);
    series.of(row.start).add(row, latency);
    parts.of(JSON.stringify([row.agent, row.model, row.instance])).add(row, latency);
  }
  const total = new Sum();
  const agents = new Groups<string>();
  const models = new Groups<string>();
  const instances = new Groups<string>();
  for (const [names, sum] of parts.all()) {
    const [agent = '', model = '', instance = ''] = JSON.parse(names) as string[];
    const sums = [total, agents.of(agent), models.of(model), instances.of(JSON.stringify([model, instance]))];
    for (const each of sums) each.addSum(sum);
  }
  return {
    from,
    to,
    step: grain,
    total: total.shown(),
    series: series
      .all()
      .toSorted(([a], [b]) => a - b)
      .map(([time, sum]) => ({ time, ...sum.shown() })),
    agents: named(agents),
    models: named(models),
    instances: named(instances).map(({ name: pair, ...sums }) => {
      const [model = '', name = ''] = JSON.parse(pair) as string[];
      return { name, model, ...sums };
    }),
  };
}

function named(groups: Groups<string>): NamedSums[] {
  return groups
    .all()
    .map(([name, sum]) => ({ name, ...sum.shown() }))
    .toSorted((a, b) => b.requests - a.requests || (a.name < b.name ? -1 : 1))
    .slice(0, mostNames);
}

class Groups<K> {
  readonly #sums = new Map<K, Sum>();

  of(key: K): Sum {
    const sum = this.#sums.get(key) ?? new Sum();
    this.#sums.set(key, sum);
    return sum;
  }

  all(): [K, Sum][] {
    return [...this.#sums];
  }
}

class Sum {
  readonly #latency: Sketch = [];
  readonly #sums = { requests: 0, errors: 0, inputTokens: 0, outputTokens: 0, costUsd: 0 };

  add(row: Selectable<RollupsTable>, latency: Sketch): void {
    const sums = this.#sums;
    sums.requests += row.requests;
    sums.errors += row.errors;
    sums.inputTokens += row.input_tokens;
    sums.outputTokens += row.output_tokens;
    sums.costUsd += row.cost_usd;
    addSketch(this.#latency, latency);
  }

  addSum(other: Sum): void {
    const [sums, others] = [this.#sums, other.#sums];
    sums.requests += others.requests;
    sums.errors += others.errors;
    sums.inputTokens += others.inputTokens;
    sums.outputTokens += others.outputTokens;
    sums.costUsd += others.costUsd;
    addSketch(this.#latency, other.#latency);
  }

  shown(): Sums {
    const [p50 = null, p95 = null, p99 = null] = [0.5, 0.95, 0.99].map((share) => percentile(this.#latency, share));
    return { ...this.#sums, latencyMs: { p50, p95, p99 } };
  }
}
