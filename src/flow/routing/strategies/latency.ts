import type { Choice, Instance, Strategy } from '../model.ts';
import { weightOf } from './draw.ts';

/** In ms. Less counts as so much: an average that has decayed to nothing must not outweigh a long queue. */
const leastLatencyMs = 1;

/**
 * Power of two choices (Mitzenmacher 2001) over peak-EWMA: of two instances drawn at random the one with the lower
 * latency × (requests in flight + 1) ÷ weight. The latency is the time to first token for a stream, and to the whole
 * answer for a request without one. Two and not all, because the figures lag behind: whoever always takes the best of
 * all sends everybody there until its first slow answer is in.
 *
 * An instance that was never measured in this and has nothing to do is asked before all others. While its first answer
 * is awaited it counts as fast as the one it is compared with, so that requests in flight decide: it gets neither
 * everything nor nothing.
 */
export function latency(): Strategy {
  return {
    choose(choice) {
      return untried(choice) ?? fasterOfTwo(choice);
    },
  } satisfies Strategy;
}

/** Any of those that were never measured and are idle, each as likely. */
function untried({ candidates, needs, now, random }: Choice): Instance | undefined {
  let chosen: Instance | undefined;
  let found = 0;
  for (const instance of candidates) {
    if (instance.figures.inFlight > 0 || instance.figures.latencyMs(needs.kind, now) !== null) continue;
    found++;
    if (found === 1 || random() * found < 1) chosen = instance;
  }
  return chosen;
}

function fasterOfTwo({ candidates, needs, now, random }: Choice): Instance {
  const count = candidates.length;
  const one = Math.floor(random() * count);
  const first = candidates[one] as Instance;
  if (count === 1) return first;
  // One fewer to draw from, and past the first: never the same twice.
  const other = Math.floor(random() * (count - 1));
  const second = candidates[other < one ? other : other + 1] as Instance;
  const firstMs = first.figures.latencyMs(needs.kind, now);
  const secondMs = second.figures.latencyMs(needs.kind, now);
  const cost = costOf(first, firstMs ?? secondMs, now);
  return costOf(second, secondMs ?? firstMs, now) < cost ? second : first;
}

function costOf(instance: Instance, latencyMs: number | null, now: number): number {
  const ms = Math.max(latencyMs ?? leastLatencyMs, leastLatencyMs);
  return (ms * (instance.figures.inFlight + 1)) / weightOf(instance, now);
}
