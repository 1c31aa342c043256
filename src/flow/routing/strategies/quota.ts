import type { Instance, Strategy } from '../model.ts';
import { draw, weightOf } from './draw.ts';
import { leastBusyOf } from './least-busy.ts';

/**
 * To where the most quota is left: two instances are drawn, each as likely as its headroom × weight says, and the one
 * with more headroom is chosen; of two with as much, the least busy. Where nothing has any left, the least busy of all.
 *
 * Not simply the one with the most: what an upstream says of its limits comes with its answers, so until the next one
 * everybody would go to the same instance. Not a plain draw by headroom either: it is too mild to keep a small quota
 * from running dry beside large ones. And the two are drawn with replacement, so that of two instances with nearly
 * the same headroom each gets its part, while one with nothing left is never drawn.
 */
export function quota(): Strategy {
  return {
    choose(choice) {
      const { candidates, now, random } = choice;
      const shareOf = (instance: Instance): number => instance.figures.headroom(now) * weightOf(instance, now);
      const first = draw(candidates, random, shareOf);
      const second = draw(candidates, random, shareOf);
      if (first === undefined || second === undefined) return leastBusyOf(choice);
      if (first === second) return first;
      const more = first.figures.headroom(now) - second.figures.headroom(now);
      if (more === 0) return leastBusyOf({ ...choice, candidates: [first, second] });
      return more > 0 ? first : second;
    },
  } satisfies Strategy;
}
