import { picosOf, usdOf } from './money.ts';

/** What an answer used. `null` means unknown, which is never the same as 0. */
export interface Usage {
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly cachedInputTokens: number | null;
  readonly reasoningTokens: number | null;
  /** A whole number of picodollars: see `money.ts`. */
  readonly costUsd: number | null;
  /** Who counted: the upstream, or Mizan from what it received of an unfinished answer. */
  readonly source: 'upstream' | 'received' | 'none';
}

/** US dollars per million tokens. */
export interface Price {
  readonly input: number;
  readonly output: number;
  /** For input tokens that the upstream read from its prompt cache; `input` where absent. */
  readonly cachedInput?: number;
  /** For output tokens that are the model's reasoning; `output` where absent. */
  readonly reasoning?: number;
  /** US dollars for each picture of the request, besides its tokens; none where absent. */
  readonly image?: number;
  /** What all tokens of a request with a long prompt cost; as any other where absent. */
  readonly long?: LongPrice;
}

/** US dollars per million tokens. */
export interface LongPrice {
  /** Of prompts with more tokens than this. */
  readonly over: number;
  readonly input: number;
  readonly output: number;
  /** As {@link Price.cachedInput}. */
  readonly cachedInput?: number;
}

export const unknownUsage: Usage = {
  inputTokens: null,
  outputTokens: null,
  cachedInputTokens: null,
  reasoningTokens: null,
  costUsd: null,
  source: 'none',
};

/**
 * The cost in US dollars, or `null` where the price or either token count is unknown.
 * @param images Pictures in the request.
 */
export function priceOf(usage: Omit<Usage, 'costUsd' | 'source'>, price: Price | null, images = 0): number | null {
  if (price === null || usage.inputTokens === null || usage.outputTokens === null) return null;
  const cached = Math.min(usage.cachedInputTokens ?? 0, usage.inputTokens);
  const reasoning = Math.min(usage.reasoningTokens ?? 0, usage.outputTokens);
  const { long } = price;
  const isLong = long !== undefined && usage.inputTokens > long.over;
  const each = isLong ? long : price;
  // A model has one price for what it thinks; beyond that, it is output.
  const thought = isLong ? long.output : (price.reasoning ?? price.output);
  const input = (usage.inputTokens - cached) * each.input + cached * (each.cachedInput ?? each.input);
  const output = (usage.outputTokens - reasoning) * each.output + reasoning * thought;
  const perMillion = input + output + images * (price.image ?? 0) * 1e6;
  return usdOf(Math.round(perMillion * 1e6));
}

/** Both together. A part that nobody counted leaves the sum of the tokens as it is, and the cost unknown. */
export function sumOf(a: Usage, b: Usage): Usage {
  if (a.source === 'none') return b;
  if (b.source === 'none') return a;
  const add = (x: number | null, y: number | null): number | null => (x === null ? y : y === null ? x : x + y);
  return {
    inputTokens: add(a.inputTokens, b.inputTokens),
    outputTokens: add(a.outputTokens, b.outputTokens),
    cachedInputTokens: add(a.cachedInputTokens, b.cachedInputTokens),
    reasoningTokens: add(a.reasoningTokens, b.reasoningTokens),
    costUsd: a.costUsd === null || b.costUsd === null ? null : usdOf(picosOf(a.costUsd) + picosOf(b.costUsd)),
    source: a.source === 'received' || b.source === 'received' ? 'received' : 'upstream',
  };
}
