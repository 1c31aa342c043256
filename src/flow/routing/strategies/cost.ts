import { priceOf } from '../../../core/usage.ts';
import type { Instance, Needs, Strategy } from '../model.ts';
import { priceNow } from '../model.ts';
import { leastBusyOf } from './least-busy.ts';

/** In tokens: how long an answer is taken to be where the request doesn't limit it. */
const usualOutputTokens = 256;

/**
 * The cheapest for this very request: its input tokens, and the output tokens it allows (256 where it doesn't say),
 * at each instance's prices. An instance without a price comes after all that have one. Of several that cost the
 * same, the least busy.
 */
export function cost(): Strategy {
  return {
    choose(choice) {
      let cheapest: Instance[] = [];
      let least = Number.POSITIVE_INFINITY;
      for (const instance of choice.candidates) {
        const usd = costUsdOf(instance, choice.needs);
        if (usd > least) continue;
        if (usd < least) cheapest = [];
        cheapest.push(instance);
        least = usd;
      }
      return leastBusyOf({ ...choice, candidates: cheapest });
    },
  } satisfies Strategy;
}

/** In US dollars; infinite where the price isn't known. */
function costUsdOf(instance: Instance, { inputTokens, maxOutputTokens }: Needs): number {
  const outputTokens = maxOutputTokens ?? usualOutputTokens;
  const usage = { inputTokens, outputTokens, cachedInputTokens: null, reasoningTokens: null };
  return priceOf(usage, priceNow(instance)) ?? Number.POSITIVE_INFINITY;
}
