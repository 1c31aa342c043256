import { nearest } from '../core/nearest.ts';
import { formatPath } from './places.ts';
import type { Path, Places } from './places.ts';
import type { Problem } from './problem.ts';
import { isSecretPlace } from './secret-fields.ts';
import { isMapping, valueAt } from './tree.ts';

/** Something wrong with a tree, before it is known where that shows and what may be said of it. */
export interface Finding {
  readonly path: Path;
  /** What stands there is added to a message that begins with `expected`. */
  readonly message: string;
  /** The names that could stand there; the nearest is suggested. */
  readonly known?: readonly string[];
  /** What to compare with them; by default what stands there. */
  readonly name?: string;
  /** It is about the last key of the path, not about what stands below it. */
  readonly onKey?: boolean;
}

/** What may hold a secret is never shown. */
const hidden = new Set<string | number>(['apiKey', 'secret', 'url', 'baseUrl', 'headers', 'masterKey']);

/** Strings that are longer are cut. */
const maxShown = 60;

function kindOf(value: unknown): string {
  if (value === null || value === '') return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (isMapping(value)) return 'a mapping';
  return typeof value === 'string' ? 'a text' : `a ${typeof value}`;
}

/** What was found, so far as it may be shown: values of variables and of fields for secrets may not. */
function found(finding: Finding, value: unknown, variables: readonly string[] | undefined): string {
  const { path, message } = finding;
  const container = message.startsWith('expected a mapping') || message.startsWith('expected a list');
  if (variables !== undefined && variables.length > 0) {
    const made = variables.map((name) => `\${${name}}`).join(' and ');
    return value === '' ? `nothing in ${made}` : `${kindOf(value)} from ${made}`;
  }
  const isHidden = isSecretPlace(path) || path.some((step) => hidden.has(step));
  if (typeof value === 'object' || value === '' || container || isHidden) {
    return kindOf(value);
  }
  const text = JSON.stringify(value) ?? kindOf(value);
  return text.length <= maxShown ? text : `${text.slice(0, maxShown)}…`;
}

function suggestion(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  if (near !== undefined) return `; did you mean "${near}"?`;
  return known.length > 0 && known.length <= 32 ? `; known: ${known.join(', ')}` : '';
}

function messageOf(finding: Finding, value: unknown, variables: readonly string[] | undefined): string {
  const { path, message, known = [], onKey = false } = finding;
  const last = path.at(-1);
  const text = onKey ? String(last) : value;
  const near = finding.name ?? (typeof text === 'string' ? text : undefined);
  const hint = near === undefined || known.length === 0 ? '' : suggestion(near, known);
  if (!message.startsWith('expected')) return `${message}${hint}`;
  if (onKey) return `${message}, found ${JSON.stringify(String(last).slice(0, maxShown))}${hint}`;
  if (value === undefined) return `missing; ${message}${hint}`;
  return `${message}, found ${found(finding, value, variables)}${hint}`;
}

/** The problem that a finding is, at its place. */
export function problemOf(finding: Finding, tree: unknown, places: Places): Problem {
  const { path, onKey = false } = finding;
  const place = places.get(path);
  return {
    ...(onKey ? places.keyOf(path) : places.originOf(path)),
    path: place?.label ?? formatPath(path),
    message: messageOf(finding, valueAt(tree, path), place?.variables),
  };
}
