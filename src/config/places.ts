import type { Origin } from './problem.ts';

/** Where a value stands in the tree: keys of mappings and indexes of lists. */
export type Path = readonly (string | number)[];

/** `models.fast.instances[1].weight`; a key that isn't a plain word stands in brackets, as in JavaScript. */
export function formatPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (!/^[\w-]+$/.test(step)) text += `[${JSON.stringify(step)}]`;
    else text += text === '' ? step : `.${step}`;
  }
  return text;
}

/** Where one value came from. */
export interface Place {
  readonly origin: Origin;
  /** Where its key is, if it has one. */
  readonly key?: Origin;
  /** Named instead of the path, where it didn't come from the file: `MIZAN_JWT_SECRET`, `--port`. */
  readonly label?: string;
  /** The scalar had no quotes. */
  readonly plain?: boolean;
  /** The variables it was made with. */
  readonly variables?: readonly string[];
  /** It is nothing but text from outside, so it may stand where a number or a boolean is expected. */
  readonly typeless?: boolean;
}

/** Where the values of a tree came from. */
export class Places {
  readonly #root: Origin;
  readonly #places = new Map<string, Place>();

  constructor(root: Origin) {
    this.#root = root;
  }

  set(path: Path, place: Place): void {
    this.#places.set(JSON.stringify(path), place);
  }

  get(path: Path): Place | undefined {
    return this.#places.get(JSON.stringify(path));
  }

  /** The value's own place; for one that isn't there, the key that it should stand under. */
  originOf(path: Path): Origin {
    const own = this.get(path);
    if (own !== undefined) return own.origin;
    for (let length = path.length - 1; length > 0; length--) {
      const place = this.get(path.slice(0, length));
      if (place !== undefined) return place.key ?? place.origin;
    }
    return this.#root;
  }

  /** The place of the key that a path ends with. */
  keyOf(path: Path): Origin {
    return this.get(path)?.key ?? this.originOf(path);
  }
}
