import type { Random } from '../../../core/random.ts';
import type { StrategyName } from '../../../core/strategy-name.ts';
import type { Instance, Needs } from '../model.ts';
import { cost } from './cost.ts';
import { latency } from './latency.ts';
import { leastBusy } from './least-busy.ts';
import { priority } from './priority.ts';
import { quota } from './quota.ts';
import { random } from './random.ts';
import { roundRobin } from './round-robin.ts';
import { sticky } from './sticky.ts';

/** What a strategy decides from. */
export interface Choice {
  /** At least one; each is able and free to take the request. In the config's order. */
  readonly candidates: readonly Instance[];
  readonly needs: Needs;
  /** On the monotonic clock, in ms. */
  readonly now: number;
  readonly random: Random;
}

/** Decides which of a model's instances is asked. One is made for every model. */
export interface Strategy {
  /** One of the candidates. It changes nothing: asking twice decides nothing. */
  choose(choice: Choice): Instance;
  /** Told that `instance` is really asked, for strategies that take turns. */
  took?(instance: Instance, choice: Choice): void;
}

/** By the names that the config uses. */
export const strategies = {
  'round-robin': roundRobin,
  random,
  'least-busy': leastBusy,
  latency,
  cost,
  priority,
  sticky,
  quota,
} as const satisfies Record<StrategyName, () => Strategy>;
