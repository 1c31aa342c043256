import { picosOf } from '../../core/money.ts';
import { priceOf } from '../../core/usage.ts';
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
  const { contextLength, price } = instance;
  const room = contextLength === null ? Infinity : Math.max(0, contextLength - inputTokens);
  const stated = needs.maxOutputTokens ?? instance.maxOutputTokens ?? (contextLength === null ? null : room);
  const each = Math.min(stated ?? assumedOutputTokens, room);
  const outputTokens = each * needs.choices;
  const counts = { inputTokens, outputTokens, cachedInputTokens: null, reasoningTokens: null };
  const dearest = price === null ? null : { ...price, output: Math.max(price.output, price.reasoning ?? 0) };
  const cost = priceOf(counts, dearest, needs.images);
  const isAssumed = needs.maxOutputTokens === null;
  return { inputTokens, outputTokens, isAssumed, cost: cost === null ? null : picosOf(cost) };
}
