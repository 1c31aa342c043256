import type { Instance } from '../model.ts';
import { roundRobin } from './round-robin.ts';

/** Decides which of a model's instances is asked next. One is made for every model. */
export interface Strategy {
  /** One of `candidates`, or `undefined` where there are none. */
  choose(candidates: readonly Instance[]): Instance | undefined;
}

/** By the names that the config uses. */
export const strategies = {
  'round-robin': roundRobin,
} as const satisfies Record<string, () => Strategy>;

export type StrategyName = keyof typeof strategies;
