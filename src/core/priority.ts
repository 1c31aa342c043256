import type { Principal } from './principal.ts';

/** How much a request matters to whoever sends it, least first. */
export const priorities = ['low', 'normal', 'high'] as const;

export type Priority = (typeof priorities)[number];

/** A principal's class: its API key's, or its token's; of jobs, which nobody waits for, the lowest. */
export function priorityOf({ via, limits, priority }: Principal): Priority {
  if (via === 'job') return 'low';
  return limits?.priority ?? priority ?? 'normal';
}
