import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { createProvider } from './index.ts';
import { priceTable } from './price-table.ts';

const settings = { kind: 'openai', apiKey: null, baseUrl: 'https://api.openai.com/v1', headers: {} } as const;

test('a price that ships with Mizan holds where the configuration has none', async () => {
  const own = { input: 9, output: 99 };
  const provider = createProvider('openai', { ...settings, prices: { 'gpt-4o': own } }, new ManualClock());
  expect(provider.priceOf('gpt-4o')).toEqual(own);
  expect(provider.priceOf('gpt-4o-mini')).toEqual({ input: 0.15, cachedInput: 0.075, output: 0.6 });
  expect(provider.priceOf('something-else')).toBeNull();
  await provider.close();
});

test.each(Object.entries(priceTable))(
  'the prices of %s say where they are from, and are none that nobody asks',
  (_kind, { source, date, prices }) => {
    expect(source).toMatch(/^https:/);
    expect(date).toMatch(/^\d{4}-\d\d-\d\d$/);
    for (const { input, output, cachedInput = input } of Object.values(prices)) {
      expect(cachedInput).toBeLessThanOrEqual(input);
      expect(input).toBeLessThan(output);
    }
  },
);
