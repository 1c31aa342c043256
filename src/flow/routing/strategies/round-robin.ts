import type { Instance } from '../model.ts';
import type { Strategy } from './index.ts';

/**
 * Smooth weighted round robin: every instance gains its weight at each turn, the richest is chosen and pays the sum
 * of all. Over any full cycle each is chosen exactly as often as its weight says, and turns are spread evenly.
 */
export function roundRobin(): Strategy {
  const credits = new WeakMap<Instance, number>();
  return {
    choose({ candidates, now }) {
      let chosen = candidates[0] as Instance;
      let most = Number.NEGATIVE_INFINITY;
      for (const instance of candidates) {
        const credit = (credits.get(instance) ?? 0) + instance.figures.weight(now);
        if (credit > most) {
          most = credit;
          chosen = instance;
        }
      }
      return chosen;
    },
    took(taken, { candidates, now }) {
      let sum = 0;
      for (const instance of candidates) {
        const weight = instance.figures.weight(now);
        credits.set(instance, (credits.get(instance) ?? 0) + weight);
        sum += weight;
      }
      credits.set(taken, (credits.get(taken) ?? 0) - sum);
    },
  };
}
