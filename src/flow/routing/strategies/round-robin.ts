import type { Instance } from '../model.ts';
import { weightOf } from './draw.ts';
import type { Strategy } from './index.ts';

/** How many sets of candidates are remembered; the one that was asked for least lately goes. */
const maxRotations = 256;

/** Turns among one set of candidates: what each is owed, in the set's order. Adds up to 0. */
interface Rotation {
  readonly members: readonly Instance[];
  readonly credits: number[];
}

/**
 * Smooth weighted round robin: every candidate gains its weight at each turn, the richest is chosen and pays the sum
 * of all weights. In as many turns as the (whole) weights add up to, each is chosen exactly as often as its weight
 * says, and in between its turns are spread out.
 *
 * Every set of candidates has a rotation of its own, which goes on where it was when the set comes back. With one for
 * all, an instance that was away, or that cannot take every request, would leave debts behind which the others then
 * work off in a row: with weights 1, 7 and 1000 that is up to 50 turns. A set that was never seen begins with the one
 * whose turn it is among such beginnings, so that many short-lived sets (instances that are full every other moment)
 * don't all begin with the same.
 */
export function roundRobin(): Strategy {
  const rotations = new Map<string, Rotation>();
  const beginnings = new WeakMap<Instance, number>();
  let recent: Rotation = { members: [], credits: [] };

  function find(candidates: readonly Instance[]): Rotation | undefined {
    return isOf(recent, candidates) ? recent : rotations.get(keyOf(candidates));
  }

  /** Makes it the recent one, and the youngest in memory. */
  function remember(candidates: readonly Instance[], known: Rotation | undefined): Rotation {
    const key = keyOf(candidates);
    const rotation = { members: [...candidates], credits: known?.credits ?? candidates.map(() => 0) };
    rotations.delete(key);
    rotations.set(key, rotation);
    const [oldest] = rotations.keys();
    if (rotations.size > maxRotations && oldest !== undefined) rotations.delete(oldest);
    return rotation;
  }

  return {
    choose({ candidates, now }) {
      const rotation = find(candidates);
      let chosen = candidates[0] as Instance;
      let most = Number.NEGATIVE_INFINITY;
      for (const [index, instance] of candidates.entries()) {
        const owed = (rotation === undefined ? beginnings.get(instance) : rotation.credits[index]) ?? 0;
        const credit = owed + weightOf(instance, now);
        if (credit > most) {
          most = credit;
          chosen = instance;
        }
      }
      return chosen;
    },
    took(taken, { candidates, now }) {
      const known = find(candidates);
      const weights = candidates.map((instance) => weightOf(instance, now));
      let sum = 0;
      for (const weight of weights) sum += weight;
      if (known === undefined) {
        for (const [index, instance] of candidates.entries()) {
          const gained = (beginnings.get(instance) ?? 0) + (weights[index] ?? 0);
          beginnings.set(instance, instance === taken ? gained - sum : gained);
        }
      }
      if (known === undefined || known !== recent) recent = remember(candidates, known);
      const { credits } = recent;
      for (const [index, weight] of weights.entries()) {
        const gained = (credits[index] ?? 0) + weight;
        credits[index] = candidates[index] === taken ? gained - sum : gained;
      }
    },
  } satisfies Strategy;
}

function isOf({ members }: Rotation, candidates: readonly Instance[]): boolean {
  if (members.length !== candidates.length) return false;
  for (let index = 0; index < members.length; index++) if (members[index] !== candidates[index]) return false;
  return true;
}

function keyOf(candidates: readonly Instance[]): string {
  let key = '';
  for (const { id } of candidates) key += `${id}\n`;
  return key;
}
