import type { Clock } from '../core/clock.ts';
import type { Secret } from '../core/secret.ts';
import type { Provider } from '../core/upstream.ts';
import type { Price } from '../core/usage.ts';
import type { CatalogueKind, CatalogueRow } from './catalogue.ts';
import { catalogue } from './catalogue.ts';
import type { EgressGuard } from '../egress/guard.ts';
import { HttpTransport } from './http-transport.ts';
import { OpenAICompatible } from './openai-compatible.ts';
import type { SimulatorOptions } from './simulator/options.ts';
import type { PricedProvider } from './price-book.ts';
import { PriceBook } from './price-book.ts';
import { SimulatorTransport } from './simulator/transport.ts';

/** A provider as the config has it. */
export type ProviderSettings =
  | {
      readonly kind: CatalogueKind;
      readonly apiKey: Secret<string> | null;
      /** With its path, without a slash at its end. */
      readonly baseUrl: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly prices: Readonly<Record<string, Price>>;
    }
  | { readonly kind: 'simulator'; readonly options: SimulatorOptions };

/** Nothing is paid for what the simulator says. */
const free: Price = { input: 0, output: 0 };

/** What providers share. */
interface Surroundings {
  /** What their connections are made through. */
  readonly guard?: EgressGuard;
  readonly book?: PriceBook;
}

/** A provider as the book of prices knows it. */
export function pricedProvider(name: string, settings: ProviderSettings): PricedProvider {
  if (settings.kind === 'simulator') return { name, kind: 'simulator', prices: {}, price: free };
  const row: CatalogueRow = catalogue[settings.kind];
  return { name, kind: settings.kind, prices: settings.prices, price: row.price ?? null };
}

/** @param name The provider's name in the config. */
export function createProvider(
  name: string,
  settings: ProviderSettings,
  clock: Clock,
  { guard, book = new PriceBook(null) }: Surroundings = {},
): Provider {
  const priced = pricedProvider(name, settings);
  const prices = {
    of: (model: string) => book.priceOf(priced, model),
    lengthsOf: (model: string) => book.known(priced, model)?.known ?? null,
  };
  if (settings.kind === 'simulator') {
    const transport = new SimulatorTransport(settings.options, clock);
    const row = {
      basePath: '/v1',
      apiKey: null,
      headers: {},
      prices,
      continuation: 'prefill',
    } as const;
    return new OpenAICompatible({ name, streamUsage: 'asked', ...row }, transport, clock);
  }
  const row: CatalogueRow = catalogue[settings.kind];
  const url = new URL(settings.baseUrl);
  return new OpenAICompatible(
    {
      name,
      basePath: url.pathname.replace(/\/$/, ''),
      apiKey: settings.apiKey,
      headers: { ...row.headers, ...settings.headers },
      streamUsage: row.streamUsage,
      continuation: row.continuation,
      prices,
    },
    new HttpTransport(url.origin, undefined, guard),
    clock,
  );
}
