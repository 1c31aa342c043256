import type { FetchedPrices, KnownModel, PriceTable, PriceTables, ShownPrice } from '../core/prices.ts';
import type { Price } from '../core/usage.ts';
import shippedTables from './price-table.json' with { type: 'json' };

/**
 * Prices that ship with Mizan, by the kind of provider, for services that don't report what an answer cost or that a
 * budget has to know before. Each table says from where and of when it is; nothing in it is guessed.
 */
export const shipped: PriceTables = shippedTables;

/** A provider whose models' prices are asked for. */
export interface PricedProvider {
  readonly name: string;
  readonly kind: string;
  /** Of the configuration. */
  readonly prices: Readonly<Record<string, Price>>;
  /** Of all models that nobody names; `null` where there is none. */
  readonly price: Price | null;
}

interface Found {
  readonly known: KnownModel;
  readonly table: PriceTable;
  readonly origin: 'fetched' | 'shipped';
}

/** What is known of models' prices: by the configuration, else by what was fetched, else by what ships with Mizan. */
export class PriceBook {
  readonly #fetched: FetchedPrices | null;
  #version: number | null = null;
  /** By the name of a provider, or its kind. Of several sources, the first that has a table. */
  #tables = new Map<string, PriceTable>();

  /** @param fetched `null` where nothing is kept. */
  constructor(fetched: FetchedPrices | null) {
    this.#fetched = fetched;
  }

  /** Some ns: it is asked for every attempt. */
  priceOf(provider: PricedProvider, model: string): Price | null {
    if (Object.hasOwn(provider.prices, model)) return provider.prices[model] ?? null;
    return this.known(provider, model)?.known ?? provider.price;
  }

  /** What others than the configuration say of a model. */
  known({ name, kind }: PricedProvider, model: string): Found | null {
    this.#look();
    for (const key of name === kind ? [kind] : [name, kind]) {
      const table = this.#tables.get(key);
      if (table !== undefined && Object.hasOwn(table.prices, model)) {
        return { known: table.prices[model] as KnownModel, table, origin: 'fetched' };
      }
    }
    const table = Object.hasOwn(shipped, kind) ? shipped[kind] : undefined;
    if (table === undefined || !Object.hasOwn(table.prices, model)) return null;
    return { known: table.prices[model] as KnownModel, table, origin: 'shipped' };
  }

  /** All models of a provider that have a price, by their names. */
  list(provider: PricedProvider): ShownPrice[] {
    const { name, kind, prices, price } = provider;
    this.#look();
    const tables = [this.#tables.get(name), this.#tables.get(kind), shipped[kind]];
    const models = new Set(
      [prices, ...tables.map((table) => table?.prices ?? {})].flatMap((each) => Object.keys(each)),
    );
    const shown = [...models].toSorted().map((model): ShownPrice => {
      const own = Object.hasOwn(prices, model) ? prices[model] : undefined;
      const found = this.known(provider, model);
      if (own !== undefined) {
        return { provider: name, model, price: own, origin: 'config', source: null, date: null };
      }
      const { known, table, origin } = found as Found;
      return { provider: name, model, price: known, origin, source: table.source, date: table.date };
    });
    if (price !== null) shown.push({ provider: name, model: '*', price, origin: 'service', source: null, date: null });
    return shown;
  }

  #look(): void {
    if (this.#fetched === null || this.#fetched.version === this.#version) return;
    this.#version = this.#fetched.version;
    this.#tables = new Map();
    for (const { tables } of this.#fetched.all()) {
      for (const [key, table] of Object.entries(tables)) if (!this.#tables.has(key)) this.#tables.set(key, table);
    }
  }
}
