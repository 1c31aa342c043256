import type { Instance, Strategy } from '../model.ts';
import { weightOf } from './draw.ts';

/** How many sets of candidates are remembered; the one that was asked for least lately goes. */
const maxRotations = 256;

/** Turns that a new rotation is wound forward at the most. */
const maxWinding = 2000;

/** A set of candidates, and turns among them. */
interface Rotation {
  readonly key: string;
  readonly members: readonly Instance[];
  /** What each is owed, in the members' order; adds up to 0. `null` before the first turn. */
  credits: number[] | null;
}

/**
 * Smooth weighted round robin: every candidate gains its weight at each turn, the richest is chosen and pays the sum
 * of all weights. In as many turns as the (whole) weights add up to, each is chosen exactly as often as its weight
 * says, and in between its turns are spread out.
 *
 * Every set of candidates has a rotation of its own, which goes on where it was when the set comes back. With one for
 * all, an instance that was away, or that can't take every request, would leave debts behind which the others then
 * work off in a row: with weights 1, 7 and 1000 that is up to 50 turns. A set that was never seen begins with the one
 * whose turn it is among such beginnings, so that many short-lived sets (instances that are full every other moment)
 * don't all begin with the same.
 */
export function roundRobin(): Strategy {
  const rotations = new Map<string, Rotation>();
  const beginnings = new WeakMap<Instance, number>();
  /** The one that was looked up last: candidates are mostly the same as before. */
  let recent: Rotation = { key: '', members: [], credits: null };

  function find(candidates: readonly Instance[]): Rotation {
    if (isOf(recent, candidates)) return recent;
    const key = keyOf(candidates);
    recent = { key, members: [...candidates], credits: rotations.get(key)?.credits ?? null };
    return recent;
  }

  /** Makes it the youngest in memory. */
  function remember(rotation: Rotation): void {
    if (rotations.get(rotation.key) === rotation) return;
    rotations.delete(rotation.key);
    rotations.set(rotation.key, rotation);
    const [oldest] = rotations.keys();
    if (rotations.size > maxRotations && oldest !== undefined) rotations.delete(oldest);
  }

  const beginningsOf = (candidates: readonly Instance[]): number[] =>
    candidates.map((instance) => beginnings.get(instance) ?? 0);

  return {
    choose({ candidates, now }) {
      const credits = find(candidates).credits ?? beginningsOf(candidates);
      return candidates[richest(credits, weightsOf(candidates, now))] as Instance;
    },
    took(taken, { candidates, now }) {
      const weights = weightsOf(candidates, now);
      const index = candidates.indexOf(taken);
      const rotation = find(candidates);
      if (rotation.credits === null) {
        const begun = beginningsOf(candidates);
        turn(begun, weights, index);
        for (const [i, instance] of candidates.entries()) beginnings.set(instance, begun[i] ?? 0);
        rotation.credits = woundTo(index, weights);
      }
      turn(rotation.credits, weights, index);
      remember(rotation);
    },
  } satisfies Strategy;
}

function weightsOf(candidates: readonly Instance[], now: number): number[] {
  const weights: number[] = [];
  for (const instance of candidates) weights.push(weightOf(instance, now));
  return weights;
}

/** The index of the one whose turn it is; of several, the first. */
function richest(credits: readonly number[], weights: readonly number[]): number {
  let best = 0;
  let most = Number.NEGATIVE_INFINITY;
  for (let index = 0; index < credits.length; index++) {
    const credit = (credits[index] ?? 0) + (weights[index] ?? 0);
    if (credit <= most) continue;
    most = credit;
    best = index;
  }
  return best;
}

function turn(credits: number[], weights: readonly number[], taken: number): void {
  let sum = 0;
  for (let index = 0; index < credits.length; index++) {
    const weight = weights[index] ?? 0;
    sum += weight;
    credits[index] = (credits[index] ?? 0) + weight;
  }
  credits[taken] = (credits[taken] ?? 0) - sum;
}

/**
 * Credits of a rotation that has got to where it is the turn of `index`. How often one begins goes by its weight, and
 * so does how far that is, so on average it is about as many turns as there are members.
 */
function woundTo(index: number, weights: readonly number[]): number[] {
  const credits = weights.map(() => 0);
  for (let winding = 0; winding < maxWinding; winding++) {
    const next = richest(credits, weights);
    if (next === index) break;
    turn(credits, weights, next);
  }
  return credits;
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
