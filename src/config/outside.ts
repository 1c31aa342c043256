import { variableOf } from './expand.ts';
import type { Environment } from './expand.ts';
import type { Path, Places } from './places.ts';
import type { Origin } from './problem.ts';
import { isMapping, newMapping, valueAt } from './tree.ts';
import type { Mapping } from './tree.ts';

/** Options of the command line that stand above the file. */
export interface CliOverrides {
  readonly host?: string | undefined;
  readonly port?: string | number | undefined;
  readonly metricsPort?: string | number | undefined;
}

const options: Readonly<Record<keyof CliOverrides, string>> = {
  host: '--host',
  port: '--port',
  metricsPort: '--metrics-port',
};

/** Variables that are read directly, where the file doesn't say otherwise. */
const variables: Readonly<Record<string, Path>> = {
  MIZAN_JWT_SECRET: ['auth', 'jwt', 'secret'],
  MIZAN_GENERATED_SECRET: ['auth', 'jwt', 'generated'],
  MIZAN_MASTER_KEY: ['security', 'masterKey', 'key'],
  MIZAN_MASTER_KEY_PREVIOUS: ['security', 'masterKey', 'previous'],
  DATABASE_URL: ['database', 'url'],
  REDIS_URL: ['redis', 'url'],
};

export const environment: Origin = { source: 'environment', line: null, column: null };
const commandLine: Origin = { source: 'command line', line: null, column: null };

/** The mapping at `path`, made where there is none; `undefined` where something else stands in its place. */
function mappingAt(tree: Mapping, path: Path): Mapping | undefined {
  let mapping = tree;
  for (const step of path) {
    const next = (mapping[step] ??= newMapping());
    if (!isMapping(next)) return undefined;
    mapping = next;
  }
  return mapping;
}

/** Puts in place what comes from the command line and, where the file says nothing, from the environment. */
export function applyOutside(tree: Mapping, places: Places, outside: { env: Environment; cli: CliOverrides }): void {
  for (const [key, label] of Object.entries(options)) {
    const value = outside.cli[key as keyof CliOverrides];
    const server = value === undefined ? undefined : mappingAt(tree, ['server']);
    if (server === undefined) continue;
    server[key] = value;
    places.set(['server', key], { origin: commandLine, label, typeless: true });
  }
  for (const [name, path] of Object.entries(variables)) {
    const value = variableOf(outside.env, name);
    const key = path.at(-1);
    if (value === undefined || key === undefined) continue;
    const parent = mappingAt(tree, path.slice(0, -1));
    if (parent === undefined || parent[key] !== undefined) continue;
    parent[key] = value;
    places.set(path, { origin: environment, label: name });
  }
}

/** Variables that say where data is, and that the file overrules with something else: somebody may think otherwise. */
export function overruled(tree: Mapping, env: Environment): string[] {
  return ['DATABASE_URL', 'REDIS_URL'].flatMap((name) => {
    const [section = '', key = ''] = variables[name] ?? [];
    const [value, given] = [variableOf(env, name), valueAt(tree, [section, key])];
    if (value === undefined || value === '' || given === undefined || given === null || given === value) return [];
    return `${name} is set, and ${section}.${key} says something else, which wins. "\${${name}}" there would be the variable's.`;
  });
}
