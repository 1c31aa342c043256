/** The routing strategies by the names that the config uses; `flow/routing/strategies` has one file for each. */
export const strategyNames = [
  'round-robin',
  'random',
  'least-busy',
  'latency',
  'cost',
  'priority',
  'sticky',
  'quota',
] as const;

export type StrategyName = (typeof strategyNames)[number];
