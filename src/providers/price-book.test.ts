import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import type { FetchedPrices, FetchedTables } from '../core/prices.ts';
import { readPriceTables } from '../core/prices.ts';
import { catalogue } from './catalogue.ts';
import { createProvider } from './index.ts';
import { PriceBook, shipped } from './price-book.ts';

const settings = { kind: 'openai', apiKey: null, baseUrl: 'https://api.openai.com/v1', headers: {} } as const;
const openai = { name: 'paid', kind: 'openai', prices: {}, price: null };

/** Prices as a store keeps them, in memory. */
class Kept implements FetchedPrices {
  version = 1;
  tables: FetchedTables[] = [];

  all(): FetchedTables[] {
    return this.tables;
  }

  put(one: FetchedTables): void {
    this.tables.push(one);
    this.version++;
  }

  remove(): boolean {
    return false;
  }
}

function fetched(from: string, table: string, prices: object): FetchedTables {
  const { tables } = readPriceTables({ [table]: { source: from, date: '2026-11-01', prices } });
  return { from, fetchedAt: 0, tables, doubted: {} };
}

test('a price that ships with Mizan holds where the configuration has none', async () => {
  const own = { input: 9, output: 99 };
  const provider = createProvider('openai', { ...settings, prices: { 'gpt-4o': own } }, new ManualClock());
  expect(provider.priceOf('gpt-4o')).toEqual(own);
  expect(provider.priceOf('gpt-4o-mini')).toMatchObject({ input: 0.15, cachedInput: 0.075, output: 0.6 });
  expect(provider.lengthsOf('gpt-4o')).toMatchObject({ maxOutputTokens: 16_384 });
  expect(provider.priceOf('something-else')).toBeNull();
  expect(provider.priceOf('toString')).toBeNull();
  await provider.close();
});

test('what was fetched goes before what ships, the provider’s own table before its kind’s, and at once', () => {
  const kept = new Kept();
  const book = new PriceBook(kept);
  expect(book.known(openai, 'gpt-4o')).toMatchObject({ known: { input: 2.5 }, origin: 'shipped' });
  kept.put(fetched('https://prices.example/a', 'openai', { 'gpt-4o': { input: 3, output: 12 } }));
  expect(book.known(openai, 'gpt-4o')).toMatchObject({ known: { input: 3 }, origin: 'fetched' });
  expect(book.known(openai, 'gpt-4o-mini')).toMatchObject({ origin: 'shipped' });
  const free = { input: 0, output: 0 };
  expect(book.priceOf({ ...openai, price: free }, 'whatever')).toBe(free);
  expect(book.priceOf(openai, 'whatever')).toBeNull();
  kept.put(fetched('https://prices.example/b', 'paid', { 'gpt-4o': { input: 4, output: 16 } }));
  expect(book.priceOf(openai, 'gpt-4o')).toMatchObject({ input: 4 });
  expect(book.priceOf({ ...openai, prices: { 'gpt-4o': { input: 5, output: 20 } } }, 'gpt-4o')).toMatchObject({
    input: 5,
  });
});

test('the list says of every price whose word it is', () => {
  const kept = new Kept();
  kept.put(fetched('https://prices.example/a', 'openai', { 'gpt-9': { input: 3, output: 12 } }));
  const prices = { 'gpt-4o': { input: 5, output: 20 } };
  const list = new PriceBook(kept).list({ ...openai, prices, price: { input: 0, output: 0 } });
  const of = (model: string) => list.find((each) => each.model === model);
  expect(of('gpt-4o')).toMatchObject({ origin: 'config', price: { input: 5 }, date: null });
  expect(of('gpt-9')).toMatchObject({ origin: 'fetched', source: 'https://prices.example/a', date: '2026-11-01' });
  expect(of('gpt-5')).toMatchObject({ origin: 'shipped', date: shipped['openai']?.date });
  expect(of('*')).toMatchObject({ origin: 'service', price: { input: 0, output: 0 } });
});

test('the table that ships is one that a source could send, of kinds that there are, with nothing left out', () => {
  const { tables, unusable } = readPriceTables(shipped);
  expect(unusable).toBe(0);
  expect(tables).toEqual(shipped);
  for (const kind of Object.keys(shipped)) expect(Object.keys(catalogue)).toContain(kind);
});

test.each(Object.entries(shipped))('the prices of %s are none that nobody asks', (_kind, { source, date, prices }) => {
  expect(source).toMatch(/^https:/);
  expect(Date.parse(date)).not.toBeNaN();
  for (const known of Object.values(prices)) {
    const { input, output, cachedInput = 0, long, maxOutputTokens, contextLength } = known;
    expect(cachedInput).toBeLessThanOrEqual(input);
    // One model of an old list costs more to ask than to answer; nobody's answers cost less than half of it.
    expect(output).toBeGreaterThanOrEqual(input / 2);
    expect(output).toBeLessThanOrEqual(1000);
    expect(long?.input ?? input).toBeGreaterThanOrEqual(input);
    expect(long?.output ?? output).toBeGreaterThanOrEqual(output);
    expect(maxOutputTokens ?? contextLength ?? 0).not.toBe(1);
    // To the sixth decimal, so that a token costs whole picodollars.
    for (const usd of [input, output, cachedInput]) expect(Number(usd.toFixed(6))).toBe(usd);
  }
});
