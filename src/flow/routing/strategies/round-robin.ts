import type { Instance } from '../model.ts';
import type { Strategy } from './index.ts';

/**
 * Smooth weighted round robin: every instance gains its weight at each turn, the richest is chosen and pays the sum
 * of all. Over any full cycle each is chosen exactly as often as its weight says, and turns are spread evenly.
 */
export function roundRobin(): Strategy {
  const credits = new WeakMap<Instance, number>();
  return {
    choose(candidates) {
      let chosen: Instance | undefined;
      let most = Number.NEGATIVE_INFINITY;
      let sum = 0;
      for (const instance of candidates) {
        const credit = (credits.get(instance) ?? 0) + instance.weight;
        credits.set(instance, credit);
        sum += instance.weight;
        if (credit > most) {
          most = credit;
          chosen = instance;
        }
      }
      if (chosen !== undefined) credits.set(chosen, most - sum);
      return chosen;
    },
  };
}
