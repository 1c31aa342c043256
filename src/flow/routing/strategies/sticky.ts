import { crc32 } from 'node:zlib';
import type { Instance, Strategy } from '../model.ts';
import { weightOf } from './draw.ts';

/** How far over its fair share of the requests in flight an instance may go: `c` in the paper. */
const boundFactor = 1.25;

/**
 * Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016, arXiv:1608.01350): what has the same
 * affinity goes to the same instance, in every process and after every restart, unless that has more than its share
 * to do: no instance is chosen that would then have over ⌈1.25 × its share by weight of all requests in flight⌉.
 *
 * Keys are placed by weighted rendezvous hashing (Thaler & Ravishankar 1998; weights as −w ÷ ln h), which needs
 * neither a ring nor any memory at a handful of instances. Each key has an order of all instances of its own, and
 * takes the first that is a candidate and under its bound. So when one leaves or is full, only its keys move, spread
 * over all others instead of falling upon the next in a ring; when it is back they return, and where its weight grows
 * slowly they return little by little, each once.
 */
export function sticky(): Strategy {
  /** Made of each id but once. */
  const idHashes = new WeakMap<Instance, number>();
  const idHashOf = (instance: Instance): number => {
    const known = idHashes.get(instance);
    if (known !== undefined) return known;
    const made = crc32(instance.id);
    idHashes.set(instance, made);
    return made;
  };
  return {
    choose({ candidates, needs, now }) {
      const key = crc32(needs.affinity);
      let weights = 0;
      let total = 1; // This request is one of them.
      for (const instance of candidates) {
        weights += weightOf(instance, now);
        total += instance.figures.inFlight;
      }
      let chosen = candidates[0] as Instance;
      let highest = Number.NEGATIVE_INFINITY;
      for (const instance of candidates) {
        const weight = weightOf(instance, now);
        // The bounds add up to more than all requests, so at least one instance is under its own.
        if (instance.figures.inFlight >= Math.ceil((boundFactor * total * weight) / weights)) continue;
        const score = -weight / Math.log(fractionOf(key, idHashOf(instance)));
        if (score > highest) {
          highest = score;
          chosen = instance;
        }
      }
      return chosen;
    },
  } satisfies Strategy;
}

/**
 * Over 0 and under 1, from two CRC-32s. These take a third of the time of SHA-1 or MD5, also for the first 2,000
 * characters of a prompt; that they are linear goes away in the mixing.
 */
function fractionOf(key: number, id: number): number {
  return (mix(key ^ mix(id)) + 0.5) / 4_294_967_296;
}

/** The finalizer of MurmurHash3: every bit of the result depends on every bit that goes in. */
function mix(bits: number): number {
  let mixed = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
