import { didYouMean } from '../core/nearest.ts';
import { entriesOf, valueAt } from './tree.ts';
import type { Mapping } from './tree.ts';

/** What is allowed and yet not what somebody may think, one sentence each: said by `start` and by `config check`. */
export function notesOn(tree: Mapping): string[] {
  return [...danglingFallbacks(tree)];
}

/** Fallbacks that are not there (yet) don't keep the others from working. */
function* danglingFallbacks(tree: Mapping): Generator<string> {
  const models = entriesOf(tree['models']).map(([id]) => id);
  for (const [id, model] of entriesOf(tree['models'])) {
    const fallbacks = valueAt(model, ['fallbacks']);
    const lists = Array.isArray(fallbacks) ? [fallbacks] : entriesOf(fallbacks).map(([, list]) => list);
    for (const name of lists.flatMap((list) => (Array.isArray(list) ? (list as unknown[]) : []))) {
      if (typeof name !== 'string' || models.includes(name)) continue;
      yield `models.${id}.fallbacks names "${name}", and there is no such model.${didYouMean(name, models)}`;
    }
  }
}
