import { atOf } from '../core/schedule.ts';
import { didYouMean } from '../core/nearest.ts';
import { entriesOf, valueAt } from './tree.ts';
import type { Mapping } from './tree.ts';

/** What is allowed and yet not what somebody may think, one sentence each: said by `start` and by `config check`. */
export function notesOn(tree: Mapping, now: number): string[] {
  return [...danglingFallbacks(tree), ...pastTimes(tree, now)];
}

/** A job that has run still stands in the file, and is nothing to refuse a start for. */
function* pastTimes(tree: Mapping, now: number): Generator<string> {
  const zone = valueAt(tree, ['schedule', 'timezone']);
  for (const [name, job] of entriesOf(valueAt(tree, ['schedule', 'jobs']))) {
    const [written, own, enabled] = ['at', 'timezone', 'enabled'].map((key) => valueAt(job, [key]));
    if (typeof written !== 'string' || enabled === false) continue;
    const timezone = [own, zone, 'UTC'].find((each) => typeof each === 'string') ?? 'UTC';
    const time = atOf(written, timezone);
    if (time === undefined || time > now) continue;
    yield (
      `schedule.jobs.${name}.at is past (${written}): the job runs no more, unless it was due while Mizan was down. ` +
        'Remove it, or name a time to come.'
    );
  }
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
