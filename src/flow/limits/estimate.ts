import { picosOf } from '../../core/money.ts';
import type { Price } from '../../core/usage.ts';
import { priceOf } from '../../core/usage.ts';
import { priceNow } from '../routing/model.ts';
import type { SpendingOrder } from '../attempts/order.ts';

/** The most that an attempt may use. */
export interface Most {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Whether neither the request nor anything that is known of the model says how long the answer may be. */
  readonly isAssumed: boolean;
  /** In picodollars; `null` where the price isn't known. */
  readonly cost: number | null;
}

/** @param assumedOutputTokens Where nothing else is known. */
export function mostOf({ instance, needs, written }: SpendingOrder, assumedOutputTokens: number): Most {
  const inputTokens = needs.inputTokens + written;
  const { provider, upstreamModel } = instance;
  const price = priceNow(instance);
  // What others say of a model is good enough to guess how long its answer may be; the configuration's word is better.
  const known = needs.maxOutputTokens === null ? provider.lengthsOf(upstreamModel) : null;
  const contextLength = instance.contextLength ?? known?.contextLength ?? null;
  const room = contextLength === null ? Infinity : Math.max(0, contextLength - inputTokens);
  const longest = instance.maxOutputTokens ?? known?.maxOutputTokens ?? null;
  const stated = needs.maxOutputTokens ?? longest ?? (contextLength === null ? null : room);
  const each = Math.min(stated ?? assumedOutputTokens, room);
  const outputTokens = each * needs.choices;
  const counts = { inputTokens, outputTokens, cachedInputTokens: null, reasoningTokens: null };
  const dearest = price === null ? null : dearestOf(price, inputTokens);
  const cost = priceOf(counts, dearest, needs.images);
  const isAssumed = needs.maxOutputTokens === null;
  return { inputTokens, outputTokens, isAssumed, cost: cost === null ? null : picosOf(cost) };
}

/** The least of the true count that the estimate is. */
const leastShare = 0.9;

/** With what is thought at the dearer of its prices, and long where the prompt may be. */
function dearestOf(price: Price, inputTokens: number): Price {
  const { long, ...usual } = price;
  const output = Math.max(price.output, price.reasoning ?? 0);
  if (long === undefined || inputTokens <= long.over * leastShare) return { ...usual, output };
  return { ...usual, input: Math.max(price.input, long.input), output: Math.max(output, long.output) };
}
