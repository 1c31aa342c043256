import type { Price } from './usage.ts';

/** What is known of a service's model: what it costs, and how long its answers may become. */
export interface KnownModel extends Price {
  /** Tokens of prompt and answer together; given where {@link maxOutputTokens} is not. */
  readonly contextLength?: number;
  /** The most tokens that it answers with. */
  readonly maxOutputTokens?: number;
}

/** What a source said on one day. */
export interface PriceTable {
  /** Where it is from: a URL. */
  readonly source: string;
  /** The day on which the source said so, `YYYY-MM-DD`. */
  readonly date: string;
  /** By the service's own names of its models. */
  readonly prices: Readonly<Record<string, KnownModel>>;
}

/** Tables by the name of a provider in the configuration, or by its kind. */
export type PriceTables = Readonly<Record<string, PriceTable>>;

/** What one source of prices had when it was asked last, as it is kept. */
export interface FetchedTables {
  /** `openrouter`, or a URL. */
  readonly from: string;
  /** In ms since the Unix epoch. */
  readonly fetchedAt: number;
  readonly tables: PriceTables;
  /** New prices that are too far from the old ones to be believed at once, by `TABLE MODEL`. */
  readonly doubted: Readonly<Record<string, KnownModel>>;
}

/** Prices that are fetched while Mizan runs, on disk. */
export interface FetchedPrices {
  /** Changes whenever what is kept may have. At most a second late for what other processes did. */
  readonly version: number;
  /** All that is kept, in the order of their sources. */
  all(): readonly FetchedTables[];
  /** Takes the place of what the same source had before. */
  put(fetched: FetchedTables): void;
  /** Forgets what a source had. @returns Whether there was anything. */
  remove(from: string): boolean;
}

/** A model of a provider with what it costs, and who says so. */
export interface ShownPrice {
  readonly provider: string;
  readonly model: string;
  readonly price: KnownModel;
  /** The configuration, a source that is asked now and then, what ships with Mizan, or the service as a whole. */
  readonly origin: 'config' | 'fetched' | 'shipped' | 'service';
  readonly source: string | null;
  /** The day the source said so, `YYYY-MM-DD`. */
  readonly date: string | null;
}

/** The source of prices that is no document of Mizan's own format. */
export const openRouter = 'openrouter';

/** Where OpenRouter's list of models is, if no provider says otherwise. */
export const openRouterModels = 'https://openrouter.ai/api/v1/models';

/** Whether prices can be had from there: `openrouter`, or an http or https URL without a user. */
export function isPriceSource(from: string): boolean {
  if (from === openRouter) return true;
  if (!URL.canParse(from) || from.length > 2000) return false;
  const { protocol, username, password } = new URL(from);
  return /^https?:$/.test(protocol) && username === '' && password === '';
}

const dearest = 10_000;
const longestContext = 100_000_000;

/** The most models of one table. */
const mostModels = 5000;

/** Printable ASCII without spaces, as models are asked for. */
const modelName = /^[\x21-\x7e]{1,200}$/;
const tableName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Why a document is no table of prices, as a sentence. */
export class NotPrices extends Error {}

/** What was read, and how many entries could not be used. */
export interface ReadTables {
  readonly tables: PriceTables;
  readonly unusable: number;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads a document of Mizan's own format: `{ TABLE: { source, date, prices: { MODEL: { input, output, … } } } }`.
 * Entries that are no prices are left out.
 * @throws NotPrices where it is something else, or nothing of it can be used.
 */
export function readPriceTables(document: unknown): ReadTables {
  if (!isObject(document)) throw new NotPrices('it is no object of tables');
  const tables: Record<string, PriceTable> = Object.create(null) as Record<string, PriceTable>;
  let unusable = 0;
  for (const [name, table] of Object.entries(document)) {
    if (!tableName.test(name) || !isObject(table) || !isObject(table['prices'])) {
      throw new NotPrices(`"${name.slice(0, 60)}" is no table with "prices"`);
    }
    const { source, date } = table;
    if (typeof source !== 'string' || source.length > 500) throw new NotPrices(`"${name}" has no "source"`);
    if (typeof date !== 'string' || !/^\d{4}-\d\d-\d\d$/.test(date)) throw new NotPrices(`"${name}" has no "date"`);
    const read = pricesOf(Object.entries(table['prices']), (entry) => entry);
    unusable += read.unusable;
    tables[name] = { source, date, prices: read.prices };
  }
  return usable({ tables, unusable });
}

/**
 * Reads OpenRouter's list of models (`GET /api/v1/models`), whose prices are US dollars per token, as texts.
 * @param day On which it was had, `YYYY-MM-DD`.
 * @throws NotPrices where it is something else, or nothing of it can be used.
 */
export function readOpenRouterModels(document: unknown, source: string, day: string): ReadTables {
  const list = isObject(document) ? document['data'] : undefined;
  if (!Array.isArray(list)) throw new NotPrices('it has no list "data"');
  const entries = (list as unknown[]).map((model) => [isObject(model) ? String(model['id']) : '', model] as const);
  const { prices, unusable } = pricesOf(entries, fromOpenRouter);
  return usable({ tables: { openrouter: { source, date: day, prices } }, unusable });
}

function usable(read: ReadTables): ReadTables {
  if (Object.values(read.tables).some(({ prices }) => Object.keys(prices).length > 0)) return read;
  throw new NotPrices('it has no price that can be used');
}

function pricesOf(entries: readonly (readonly [string, unknown])[], translate: (entry: Json) => Json | null) {
  const prices: Record<string, KnownModel> = Object.create(null) as Record<string, KnownModel>;
  let unusable = 0;
  if (entries.length > mostModels) throw new NotPrices(`it has more than ${mostModels} models`);
  for (const [name, entry] of entries) {
    const translated = isObject(entry) ? translate(entry) : null;
    const known = translated === null || !modelName.test(name) ? null : knownModel(translated);
    if (known === null) unusable++;
    else prices[name] = known;
  }
  return { prices, unusable };
}

/** `null` where a price that counts is missing or is none. */
function knownModel(entry: Json): KnownModel | null {
  const { long } = entry;
  const whole = figures(entry, ['input', 'output'], ['cachedInput', 'reasoning', 'image']);
  const sizes = figures(entry, [], ['contextLength', 'maxOutputTokens'], longestContext);
  if (whole === null || sizes === null) return null;
  if (long === undefined) return { ...whole, ...sizes } as unknown as KnownModel;
  const dear = isObject(long) ? figures(long, ['input', 'output'], ['cachedInput']) : null;
  const over = isObject(long) ? figures(long, ['over'], [], longestContext) : null;
  return dear === null || over === null
    ? null
    : ({ ...whole, ...sizes, long: { ...over, ...dear } } as unknown as KnownModel);
}

function figures(entry: Json, needed: readonly string[], others: readonly string[], most = dearest): Json | null {
  const found: Record<string, number> = {};
  for (const key of [...needed, ...others]) {
    const value = entry[key];
    if (value === undefined && others.includes(key)) continue;
    if (typeof value !== 'number' || !(value >= 0 && value <= most)) return null;
    found[key] = value;
  }
  return found;
}

/** What is paid by the picture, by the minute or by the second of its answer has no price here. */
function fromOpenRouter({ pricing, top_provider: top, context_length: context }: Json): Json | null {
  if (!isObject(pricing) || pricing['image_output'] !== undefined || pricing['audio_output'] !== undefined) return null;
  const longest = isObject(top) ? top['max_completion_tokens'] : undefined;
  const isShorter = typeof longest === 'number' && typeof context === 'number' && longest < context;
  const image = Number(pricing['image'] ?? 0);
  return {
    ...tokenPrices(pricing),
    ...(Number(pricing['internal_reasoning'] ?? 0) > 0 ? { reasoning: perMillion(pricing['internal_reasoning']) } : {}),
    ...(image > 0 ? { image } : {}),
    ...(isShorter ? { maxOutputTokens: longest } : typeof context === 'number' ? { contextLength: context } : {}),
    ...longPrice(pricing['overrides']),
  };
}

function tokenPrices({ prompt, completion, input_cache_read: cached }: Json): Json {
  return {
    input: perMillion(prompt),
    ...(cached === undefined ? {} : { cachedInput: perMillion(cached) }),
    output: perMillion(completion),
  };
}

/** Of several steps, the dearest from the first of them on: rather too much is held than too little. */
function longPrice(overrides: unknown): Json {
  const steps = Array.isArray(overrides) ? (overrides as unknown[]).filter((step) => isObject(step)) : [];
  const first = steps.find((step) => typeof step['min_prompt_tokens'] === 'number');
  const last = steps.findLast((step) => typeof step['min_prompt_tokens'] === 'number');
  if (first === undefined || last === undefined) return {};
  return { long: { over: first['min_prompt_tokens'], ...tokenPrices(last) } };
}

/** Rounded up to the sixth decimal, the last that counts. `NaN` where it is no number. */
function perMillion(perToken: unknown): number {
  if (typeof perToken !== 'string' && typeof perToken !== 'number') return Number.NaN;
  return Math.ceil(Number((Number(perToken) * 1e12).toFixed(3))) / 1e6;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A price as it is shown outside, in US dollars per million tokens; pictures each. */
export function publicPrice({ provider, model, price, origin, source, date }: ShownPrice) {
  const { long } = price;
  return {
    provider,
    model,
    input: price.input,
    cached_input: price.cachedInput ?? null,
    output: price.output,
    reasoning: price.reasoning ?? null,
    image: price.image ?? null,
    long:
      long === undefined
        ? null
        : { over: long.over, input: long.input, cached_input: long.cachedInput ?? null, output: long.output },
    context_length: price.contextLength ?? null,
    max_output_tokens: price.maxOutputTokens ?? null,
    origin,
    source,
    date,
  };
}
