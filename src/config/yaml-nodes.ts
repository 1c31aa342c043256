import { isAlias, isMap, isScalar, isSeq } from 'yaml';
import type { Alias, ParsedNode, YAMLMap } from 'yaml';
import { formatPath } from './places.ts';
import type { Path, Places } from './places.ts';
import type { Origin, Problem } from './problem.ts';
import { newMapping } from './tree.ts';

/** Deeper than any configuration, and shallow enough for every recursive reader. */
export const maxDepth = 64;
/** Counting again what aliases repeat. */
const maxValues = 50_000;
const maxAliases = 100;

/** From YAML's nodes to plain values, noting the place of each. */
export class NodeReader {
  readonly problems: Problem[] = [];
  readonly #places: Places;
  readonly #originAt: (offset: number) => Origin;
  readonly #anchors = new Map<string, ParsedNode>();
  #values = 0;
  #aliases = 0;

  constructor(places: Places, originAt: (offset: number) => Origin) {
    this.#places = places;
    this.#originAt = originAt;
  }

  read(node: ParsedNode | null, path: Path, key?: Origin): unknown {
    if (node === null) {
      if (key !== undefined) this.#places.set(path, { origin: key, key });
      return null;
    }
    const origin = this.#originAt(node.range[0]);
    if (!this.#mayGoOn(origin, path)) return null;
    if (isAlias(node)) return this.#readAlias(node, path, key);
    const plain = isScalar(node) && node.type === 'PLAIN';
    this.#places.set(path, key === undefined ? { origin, plain } : { origin, key, plain });
    const value = this.#valueOf(node, path);
    if (typeof value === 'number' && !Number.isFinite(value)) this.#report(origin, path, 'expected a finite number');
    // Only now, so that an alias inside its own anchor finds nothing.
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    return value;
  }

  #valueOf(node: Exclude<ParsedNode, Alias.Parsed>, path: Path): unknown {
    if (isMap(node)) return this.#readMap(node, path);
    if (isSeq(node)) return node.items.map((item, i) => this.read(item, [...path, i]));
    return node.value;
  }

  #readMap(map: YAMLMap.Parsed, path: Path): unknown {
    const mapping = newMapping();
    for (const { key, value } of map.items) {
      // The parser has refused every key that isn't a string.
      if (!isScalar(key)) continue;
      const name = String(key.value);
      const keyPath = [...path, name];
      const origin = this.#originAt(key.range[0]);
      if (name === '__proto__') {
        this.#report(origin, keyPath, 'this key is not allowed');
      } else if (Object.hasOwn(mapping, name)) {
        const first = this.#places.keyOf(keyPath);
        this.#report(origin, keyPath, `the key stands here again, after line ${first.line ?? 1}`);
      } else {
        mapping[name] = this.read(value, keyPath, origin);
      }
    }
    return mapping;
  }

  #readAlias(alias: Alias.Parsed, path: Path, key: Origin | undefined): unknown {
    const origin = this.#originAt(alias.range[0]);
    const target = this.#anchors.get(alias.source);
    this.#places.set(path, key === undefined ? { origin } : { origin, key });
    this.#aliases++;
    if (this.#aliases > maxAliases) {
      if (this.#aliases === maxAliases + 1) this.#report(origin, path, `more than ${maxAliases} aliases`);
      return null;
    }
    if (target !== undefined) return this.read(target, path, key);
    this.#report(origin, path, 'an alias without an anchor before it');
    return null;
  }

  /** Whether there is room for one more value; says so once where there isn't. */
  #mayGoOn(origin: Origin, path: Path): boolean {
    if (this.#values > maxValues) return false;
    if (path.length > maxDepth) {
      this.#report(origin, path, `more than ${maxDepth} levels`);
      return false;
    }
    this.#values++;
    if (this.#values <= maxValues) return true;
    this.#report(origin, path, `more than ${maxValues} values`);
    return false;
  }

  #report(origin: Origin, path: Path, message: string): void {
    this.problems.push({ ...origin, path: formatPath(path), message });
  }
}
