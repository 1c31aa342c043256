import type { Choice, Instance, Strategy } from '../model.ts';
import { roundRobin } from './round-robin.ts';

/**
 * Ordered tiers: always one of those with the lowest `priority` among the candidates, in turns by weight. Since an
 * instance that is ejected, paused or full is no candidate, requests spill over to the next tier by themselves, and
 * come back as soon as one of the first is free.
 */
export function priority(): Strategy {
  const turns = roundRobin();
  return {
    choose: (choice) => turns.choose(inTier(choice, lowest(choice.candidates))),
    took: (taken, choice) => turns.took?.(taken, inTier(choice, taken.priority)),
  } satisfies Strategy;
}

function lowest(candidates: readonly Instance[]): number {
  let tier = Number.POSITIVE_INFINITY;
  for (const instance of candidates) tier = Math.min(tier, instance.priority);
  return tier;
}

function inTier(choice: Choice, tier: number): Choice {
  return { ...choice, candidates: choice.candidates.filter((instance) => instance.priority === tier) };
}
