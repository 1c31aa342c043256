import type { Command } from 'commander';
import { byOperator } from '../core/audit.ts';
import type { ShownPrice } from '../core/prices.ts';
import { publicPrice } from '../core/prices.ts';
import { systemTenant } from '../core/jobs.ts';
import type { CommonOptions } from './options.ts';
import { configOf, withCommonOptions } from './options.ts';
import { print, say, table } from './say.ts';
import { placeOf, withStore } from './with-store.ts';

interface ListOptions extends CommonOptions {
  readonly provider?: string;
  readonly json?: boolean;
}

/** `mizan prices list|forget` */
export function registerPrices(program: Command): void {
  const prices = program.command('prices').description('what models cost, and who says so');
  withCommonOptions(prices.command('list').description('all models of the configured providers that have a price'))
    .argument('[model]', 'only those with this in their name')
    .option('--provider <name>', 'only those of this provider')
    .option('--json', 'print JSON')
    .action(list);
  withCommonOptions(prices.command('forget').description('forget what the job price-refresh had from a source'))
    .argument('<source>', '"openrouter", or the URL')
    .action(forget);
}

async function list(model: string | undefined, options: ListOptions): Promise<void> {
  const { providers } = configOf(options);
  const { PriceBook } = await import('../providers/price-book.ts');
  const { pricedProvider } = await import('../providers/index.ts');
  const all = await withStore(placeOf(options), ({ prices }) => {
    const book = new PriceBook(prices);
    return Object.entries(providers).flatMap(([name, settings]) => book.list(pricedProvider(name, settings)));
  });
  const shown = all.filter(
    (price) =>
      (options.provider === undefined || price.provider === options.provider) &&
      (model === undefined || price.model.includes(model)),
  );
  if (options.json === true) print(JSON.stringify(shown.map(publicPrice), null, 2));
  else print(table(['PROVIDER', 'MODEL', 'INPUT', 'CACHED', 'OUTPUT', 'FROM', 'OF'], shown.map(rowOf)));
}

function rowOf({ provider, model, price, origin, date }: ShownPrice): string[] {
  const { input, cachedInput, output } = price;
  return [provider, model, String(input), String(cachedInput ?? '-'), String(output), origin, date ?? '-'];
}

async function forget(source: string, options: CommonOptions): Promise<void> {
  const isThere = await withStore(placeOf(options), ({ prices, audit }) => {
    const found = prices.remove(source);
    if (found) audit.record(byOperator({ action: 'prices.forget', tenant: systemTenant, target: `prices:${source}` }));
    return found;
  });
  if (isThere) say(`What ${source} said is forgotten.`);
  else {
    say(`Nothing is kept from ${source}.`);
    process.exitCode = 1;
  }
}
