import type { Choice, Instance, Strategy } from '../model.ts';
import { weightOf } from './draw.ts';

/**
 * The instance with the fewest requests in flight per weight. Of several, each is as likely as its weight says: where
 * nothing is in flight that is `random`, and no instance is first only because the config names it first.
 */
export function leastBusy(): Strategy {
  return { choose: leastBusyOf } satisfies Strategy;
}

/** What `least-busy` chooses; other strategies break their ties with it. */
export function leastBusyOf({ candidates, now, random }: Omit<Choice, 'needs'>): Instance {
  let chosen = candidates[0] as Instance;
  let least = Number.POSITIVE_INFINITY;
  let tied = 0;
  for (const instance of candidates) {
    const weight = weightOf(instance, now);
    const load = instance.figures.inFlight / weight;
    if (load > least) continue;
    tied = load < least ? weight : tied + weight;
    // A later one takes the place of an earlier one as often as its weight is of all that tie so far.
    if (load < least || random() * tied < weight) chosen = instance;
    least = load;
  }
  return chosen;
}
