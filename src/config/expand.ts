import { formatPath } from './places.ts';
import type { Path, Places } from './places.ts';
import type { Problem } from './problem.ts';
import { nearest } from '../core/nearest.ts';
import { secretPlaces, takesStoredSecret } from './secret-fields.ts';
import { isMapping, typedValue } from './tree.ts';

/** The variables that values may name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The stored secrets by their names. */
export type Secrets = ReadonlyMap<string, string>;

/** `null` where they can't be opened, for a reason that is a problem of its own: then none is missing. */
type SecretsGetter = () => Secrets | null;

export interface Expansion {
  readonly text: string;
  /** The variables that were named, whether set or not; a stored secret as `secret:NAME`. */
  readonly variables: readonly string[];
  /** The whole text was one variable. */
  readonly whole: boolean;
  /** What is wrong with it. */
  readonly problem: string | undefined;
}

const variable = /\$\$\{|\$\{(?:secret:([A-Za-z0-9][\w.-]{0,63})\}|([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?/g;

/** The value of a variable; what `process.env` inherits is none. */
export function variableOf(env: Environment, name: string): string | undefined {
  return Object.hasOwn(env, name) ? env[name] : undefined;
}

function missingSecret(name: string, secrets: Secrets): string {
  const near = nearest(name, secrets.keys());
  const hint = near === undefined ? '' : `; did you mean "${near}"?`;
  return `there is no stored secret "${name}"; "mizan secrets set ${name}" stores one${hint}`;
}

/**
 * Replaces `${NAME}` by the variable's value, `${NAME:-default}` by the default where the variable is not set or
 * empty, and `${secret:NAME}` by the stored secret. `$${` stands for `${` itself. What comes out is not read again: a
 * value cannot name further variables.
 */
export function expandText(text: string, env: Environment, secrets: SecretsGetter = () => new Map()): Expansion {
  const variables: string[] = [];
  let problem: string | undefined;
  let whole = false;
  const expanded = text.replaceAll(
    variable,
    (match: string, secret: string | undefined, name: string | undefined, fallback: string | undefined) => {
      if (match === '$${') return '${';
      if (secret !== undefined) {
        variables.push(`secret:${secret}`);
        const known = secrets();
        const value = known === null ? '-' : known.get(secret);
        if (known !== null && value === undefined) problem ??= missingSecret(secret, known);
        return value ?? match;
      }
      if (name === undefined) {
        problem ??= 'expected ${NAME} or ${NAME:-default}; write $${ for the text ${ itself';
        return match;
      }
      variables.push(name);
      whole = match.length === text.length;
      const value = variableOf(env, name);
      if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
      if (value === undefined) problem ??= `the variable ${name} is not set; set it, or write \${${name}:-default}`;
      return value ?? match;
    },
  );
  return { text: expanded, variables, whole, problem };
}

/** What an agent sends along has no schema here, so that YAML's own rule holds: without quotes, 5 is a number. */
function isFreeForm(path: Path): boolean {
  return path[0] === 'agents' && path[2] === 'params';
}

function misplaced(): string {
  const places = secretPlaces();
  return `a stored secret may only stand where secrets do: in ${places.slice(0, -1).join(', ')} or ${places.at(-1)}`;
}

/** Expands every text of a tree, and notes which are made of variables. */
export function expandTree(
  tree: unknown,
  places: Places,
  sources: { readonly env: Environment; readonly secrets: SecretsGetter },
): { tree: unknown; problems: Problem[] } {
  const problems: Problem[] = [];
  const expand = (value: unknown, path: Path): unknown => {
    if (Array.isArray(value)) return value.map((item, i) => expand(item, [...path, i]));
    if (isMapping(value)) {
      for (const [key, item] of Object.entries(value)) value[key] = expand(item, [...path, key]);
      return value;
    }
    if (typeof value !== 'string' || !value.includes('${')) return value;
    const isFree = !/\$\{secret:[A-Za-z0-9]/.test(value) || takesStoredSecret(path);
    const expanded = expandText(value, sources.env, isFree ? sources.secrets : undefined);
    const { text, variables, whole } = expanded;
    const problem = isFree ? expanded.problem : misplaced();
    const place = places.get(path);
    if (problem !== undefined) problems.push({ ...places.originOf(path), path: formatPath(path), message: problem });
    if (place !== undefined && variables.length > 0) places.set(path, { ...place, variables, typeless: whole });
    if (whole && place?.plain === true && isFreeForm(path)) return typedValue(text) ?? text;
    return text;
  };
  return { tree: expand(tree, []), problems };
}
