import type { Random } from '../../../core/random.ts';
import type { Instance } from '../model.ts';

/** So little that it is hardly ever asked, and yet more than nothing: what is divided by it stays a number. */
const leastWeight = 1e-6;

/** The weight that counts at `now` (monotonic, ms). Always over 0. */
export function weightOf(instance: Instance, now: number): number {
  return Math.max(instance.figures.weight(now), leastWeight);
}

/** One of `instances`, each as likely as its share of all shares; `undefined` where all shares are 0. */
export function draw(
  instances: readonly Instance[],
  random: Random,
  shareOf: (instance: Instance) => number,
): Instance | undefined {
  let sum = 0;
  for (const instance of instances) sum += shareOf(instance);
  let left = random() * sum;
  let last: Instance | undefined;
  for (const instance of instances) {
    const share = shareOf(instance);
    if (share <= 0) continue;
    last = instance;
    left -= share;
    if (left < 0) return instance;
  }
  return last; // Only where adding up and taking away were rounded differently.
}
