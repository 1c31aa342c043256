import type { StrategyName } from '../../../core/strategy-name.ts';
import type { Strategy } from '../model.ts';
import { cost } from './cost.ts';
import { latency } from './latency.ts';
import { leastBusy } from './least-busy.ts';
import { priority } from './priority.ts';
import { quota } from './quota.ts';
import { random } from './random.ts';
import { roundRobin } from './round-robin.ts';
import { sticky } from './sticky.ts';

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
