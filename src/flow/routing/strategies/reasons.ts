import type { StrategyName } from '../../../core/strategy-name.ts';

/** Why each strategy chooses whom it chooses, for explanations. */
export const reasons: Readonly<Record<StrategyName, string>> = {
  'round-robin': 'its share of the turns is due',
  random: 'it was drawn by lot, by weight',
  'least-busy': 'it has the fewest requests in flight for its weight',
  latency: 'of two drawn by lot, its first tokens come sooner for what it has in flight',
  cost: 'it is the cheapest that can do it',
  priority: 'its tier is the first that can be asked, and its share of the turns there is due',
  sticky: 'requests of this session, or with this beginning, go there while it is not overloaded',
  quota: 'it has the most room left in its rate limits',
};
