import { isDeepStrictEqual } from 'node:util';
import type { AuditLog } from '../../core/audit.ts';
import type { Clock } from '../../core/clock.ts';
import { MizanError } from '../../core/errors.ts';
import { systemTenant } from '../../core/jobs.ts';
import type { Outgoing } from '../../core/outgoing.ts';
import type { FetchedPrices, FetchedTables, KnownModel, PriceTables, ReadTables } from '../../core/prices.ts';
import { isPriceSource, NotPrices, openRouter, readOpenRouterModels, readPriceTables } from '../../core/prices.ts';
import type { JobContext, JobType } from '../contract.ts';
import { checkedSettings } from '../settings.ts';

export interface PriceRefreshParts {
  readonly outgoing: Outgoing;
  readonly prices: FetchedPrices;
  /** What new prices are compared with where nothing was fetched yet. */
  readonly shipped: PriceTables;
  /** OpenRouter's list of models. */
  readonly openRouterUrl: string;
  readonly audit: AuditLog;
  readonly clock: Clock;
}

/** How long a source may take, and how much of it is read. */
const limits = { deadlineMs: 30_000, maxBytes: 16 * 1024 * 1024 } as const;

/** A price that becomes so many times as much or as little is only believed when the next run has it again. */
const farthest = 10;

/** A table that loses more than this share of its models at once is none, unless what is kept is older than `staleMs`. */
const leastShare = 0.5;
const staleMs = 7 * 86_400_000;

/** Fewer models than this say nothing about shares. */
const few = 10;

/** Changes that a run's output names; the rest are counted. */
const mostNamed = 50;

interface Change {
  readonly table: string;
  readonly model: string;
  readonly kind: 'new' | 'changed' | 'doubted' | 'gone';
  readonly before: KnownModel | null;
  readonly after: KnownModel | null;
}

/** Asks the sources of prices, and keeps what they say as far as it can be believed. */
export function priceRefresh(parts: PriceRefreshParts): JobType {
  return {
    name: 'price-refresh',
    async run(context) {
      const sources = (context.job.settings['from'] ?? [openRouter]) as readonly string[];
      const reports: object[] = [];
      const problems: string[] = [];
      for (const from of sources) {
        context.signal.throwIfAborted();
        try {
          reports.push(await refresh(from, context, parts));
        } catch (error) {
          if (!(error instanceof NotPrices || error instanceof MizanError)) throw error;
          problems.push(`${from}: ${error.message}`);
          context.say(`${from}: ${error.message}. What it had before stays.`);
        }
      }
      if (problems.length > 0) throw new MizanError('upstream_error', `No new prices from ${problems.join('; ')}`);
      return { sources: reports };
    },
    check: (settings) =>
      checkedSettings(settings, {
        from: {
          expected: `must be a list of "${openRouter}" and https URLs of documents of prices`,
          is: (value) =>
            Array.isArray(value) &&
            value.length > 0 &&
            value.every((each) => typeof each === 'string' && isPriceSource(each)),
        },
      }),
  };
}

async function refresh(from: string, { job, say, confirm }: JobContext, parts: PriceRefreshParts): Promise<object> {
  const { prices, audit, clock } = parts;
  const { tables: read, unusable } = await readSource(from, job.source, parts);
  const last = prices.all().find((each) => each.from === from);
  const now = clock.now();
  checkShares(read, last, now);
  const { tables, doubted, changes } = believed(read, last, parts.shipped);
  await confirm();
  prices.put({ from, fetchedAt: now, tables, doubted });
  const models = Object.values(tables).reduce((sum, table) => sum + Object.keys(table.prices).length, 0);
  const of = (kind: Change['kind']): number => changes.filter((change) => change.kind === kind).length;
  const report = {
    from,
    models,
    unusable,
    new: of('new'),
    changed: of('changed'),
    doubted: of('doubted'),
    gone: of('gone'),
  };
  const named = changes.filter(({ kind }) => kind !== 'new').slice(0, mostNamed);
  for (const change of named) say(`${change.table} ${change.model}: ${wordsOf(change)}`);
  say(
    `${from}: ${models} models; ${report.new} new, ${report.changed} changed, ${report.doubted} doubted, ${report.gone} gone.`,
  );
  const after = { ...report, changes: named };
  if (changes.length > 0) {
    audit.record({
      action: 'prices.refresh',
      outcome: 'done',
      actor: 'system',
      tenant: systemTenant,
      target: `prices:${from}`,
      before: null,
      after,
      from: null,
      requestId: null,
    });
  }
  return after;
}

async function readSource(from: string, source: 'config' | 'api', parts: PriceRefreshParts): Promise<ReadTables> {
  const { outgoing, openRouterUrl, clock } = parts;
  const isOpenRouter = from === openRouter;
  const { status, body } = await outgoing({
    url: isOpenRouter ? openRouterUrl : from,
    headers: { accept: 'application/json' },
    namedBy: isOpenRouter || source === 'config' ? 'config' : 'caller',
    ...limits,
  });
  if (status < 200 || status > 299) throw new NotPrices(`it answered ${status}`);
  let document: unknown;
  try {
    document = JSON.parse(body.toString('utf8'));
  } catch {
    throw new NotPrices('what it answered is no JSON');
  }
  const day = new Date(clock.now()).toISOString().slice(0, 10);
  return isOpenRouter ? readOpenRouterModels(document, openRouterUrl, day) : readPriceTables(document);
}

function checkShares(read: PriceTables, last: FetchedTables | undefined, now: number): void {
  if (last === undefined || now - last.fetchedAt > staleMs) return;
  for (const [table, { prices }] of Object.entries(last.tables)) {
    const before = Object.keys(prices).length;
    const after = Object.keys(read[table]?.prices ?? {}).length;
    if (before < few || after >= before * leastShare) continue;
    throw new NotPrices(`${table} has ${after} models, and had ${before}`);
  }
}

/** New tables, with the old price in the place of each that is too far from it to be believed at once. */
function believed(read: PriceTables, last: FetchedTables | undefined, shipped: PriceTables) {
  const tables: Record<string, PriceTables[string]> = {};
  const doubted: Record<string, KnownModel> = {};
  const changes: Change[] = [];
  for (const [table, given] of Object.entries(read)) {
    const known = last?.tables[table]?.prices ?? {};
    const prices: Record<string, KnownModel> = {};
    for (const [model, after] of Object.entries(given.prices)) {
      const kept = own(known, model);
      const before = kept ?? own(shipped[table]?.prices ?? {}, model) ?? null;
      const key = `${table} ${model}`;
      const isAgain = last !== undefined && isDeepStrictEqual(own(last.doubted, key), after);
      const isDoubted = before !== null && isFar(before, after) && !isAgain;
      prices[model] = isDoubted ? before : after;
      if (isDoubted) doubted[key] = after;
      if (isDoubted) changes.push({ table, model, kind: 'doubted', before, after });
      else if (before === null) changes.push({ table, model, kind: 'new', before, after });
      else if (!isDeepStrictEqual(before, after)) changes.push({ table, model, kind: 'changed', before, after });
    }
    tables[table] = { ...given, prices };
    for (const [model, before] of Object.entries(known)) {
      if (own(given.prices, model) === undefined) changes.push({ table, model, kind: 'gone', before, after: null });
    }
  }
  return { tables, doubted, changes };
}

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

/** What costs nothing any more is doubted as well: no budget would hold it. */
function isFar(before: KnownModel, after: KnownModel): boolean {
  return (['input', 'output'] as const).some((side) => {
    const [old, next] = [before[side], after[side]];
    return old > 0 && (next > old * farthest || next < old / farthest);
  });
}

function wordsOf({ kind, before, after }: Change): string {
  const shown = (known: KnownModel | null): string => (known === null ? '-' : `${known.input}/${known.output}`);
  const change = `${shown(before)} to ${shown(after)} USD per million tokens`;
  if (kind === 'gone') return 'it is not there any more';
  return kind === 'doubted' ? `${change}; not believed before the next run has it again` : change;
}
