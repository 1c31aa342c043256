import type { Path } from './places.ts';

/** A mapping as it was read. It has no prototype: what isn't in the file isn't in here. */
export type Mapping = { [key: string]: unknown };

export function newMapping(entries: Readonly<Mapping> = {}): Mapping {
  return Object.assign(Object.create(null) as Mapping, entries);
}

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The entries of a mapping; none of anything else. */
export function entriesOf(value: unknown): [string, unknown][] {
  return isMapping(value) ? Object.entries(value) : [];
}

/** What stands at `path`, or `undefined`. */
export function valueAt(tree: unknown, path: Path): unknown {
  let value = tree;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Mapping)[step];
  }
  return value;
}

/** Replaces what stands at `path`; nothing happens where there is nothing. */
export function replaceAt(tree: unknown, path: Path, value: unknown): void {
  const last = path.at(-1);
  const parent = valueAt(tree, path.slice(0, -1));
  if (last === undefined || typeof parent !== 'object' || parent === null || !Object.hasOwn(parent, last)) return;
  (parent as Mapping)[last] = value;
}

/** The number or boolean that a text spells (as in JSON), or `undefined`. */
export function typedValue(text: string): number | boolean | undefined {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text) ? Number(text) : undefined;
}
