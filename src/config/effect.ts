import { entriesOf, valueAt } from './tree.ts';
import type { Mapping } from './tree.ts';

/** Sections that this version accepts and checks, and does not act on. `*` stands for any name. */
export const sectionsWithoutEffect = ['redis.url', 'cache', 'schedule'] as const;

function isSet(value: unknown): boolean {
  return value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0);
}

/** Which of `sectionsWithoutEffect` a configuration sets: `models.fast.fallbacks`. */
export function withoutEffect(tree: Mapping): string[] {
  return sectionsWithoutEffect.flatMap((section) => {
    const [first = '', ...rest] = section.split('.');
    if (rest[0] !== '*') return isSet(valueAt(tree, [first, ...rest])) ? [section] : [];
    const set = entriesOf(tree[first]).filter(([, value]) => isSet(valueAt(value, rest.slice(1))));
    return set.map(([name]) => [first, name, ...rest.slice(1)].join('.'));
  });
}
