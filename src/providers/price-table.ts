import type { Price } from '../core/usage.ts';
import type { CatalogueKind } from './catalogue.ts';

/**
 * Prices that ship with Mizan, in US dollars per million tokens, for services that don't report what an answer cost. What
 * the configuration says comes first. Only what its source stated on the day that is given; others are not guessed.
 */
export const priceTable: Partial<
  Record<
    CatalogueKind,
    { readonly source: string; readonly date: string; readonly prices: Readonly<Record<string, Price>> }
  >
> = {
  openai: {
    source: 'https://openai.com/api/pricing',
    date: '2025-08-31',
    prices: {
      'gpt-5': { input: 1.25, cachedInput: 0.125, output: 10 },
      'gpt-5-mini': { input: 0.25, cachedInput: 0.025, output: 2 },
      'gpt-5-nano': { input: 0.05, cachedInput: 0.005, output: 0.4 },
      'gpt-4.1': { input: 2, cachedInput: 0.5, output: 8 },
      'gpt-4.1-mini': { input: 0.4, cachedInput: 0.1, output: 1.6 },
      'gpt-4.1-nano': { input: 0.1, cachedInput: 0.025, output: 0.4 },
      'gpt-4o': { input: 2.5, cachedInput: 1.25, output: 10 },
      'gpt-4o-mini': { input: 0.15, cachedInput: 0.075, output: 0.6 },
    },
  },
};
