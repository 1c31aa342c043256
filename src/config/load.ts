import { z } from 'zod';
import { logLevels } from './config.ts';
import type { Config, LogLevel, MasterKeyConfig } from './config.ts';
import type { Secret } from '../core/secret.ts';
import { applyDefaults, dropEmptySections } from './defaults.ts';
import { notesOn } from './notes.ts';
import { expandTree, variableOf } from './expand.ts';
import type { Environment, Secrets } from './expand.ts';
import { problemOf } from './findings.ts';
import type { Finding } from './findings.ts';
import { findingsOf, issueMessage } from './issues.ts';
import { applyOutside, environment, overruled } from './outside.ts';
import type { CliOverrides } from './outside.ts';
import { Places } from './places.ts';
import { systemClock } from '../core/clock.ts';
import { ConfigError, inOrder } from './problem.ts';
import type { Problem } from './problem.ts';
import { referenceFindings } from './references.ts';
import { masterKeyOf, resolveConfig } from './resolve.ts';
import { fileSchema } from './schema.ts';
import type { FileConfig } from './schema.ts';
import { findSource } from './source.ts';
import type { Source } from './source.ts';
import { isMapping, newMapping, replaceAt, typedValue, valueAt } from './tree.ts';
import type { Mapping } from './tree.ts';
import { readYaml } from './yaml.ts';
import type { YamlTree } from './yaml.ts';

export { ConfigError } from './problem.ts';
export type { CliOverrides } from './outside.ts';

/** Compiled parsers take longer to be made than they save where something is read once. */
const parsing = { error: issueMessage, jitless: true } as const;

/** What of a configuration says where sealed things are, and what opens them. */
export interface VaultConfig {
  readonly masterKey: MasterKeyConfig;
  readonly databaseUrl: Secret<string> | null;
}

/** Opens the stored secrets with the master key that the configuration names, where it says that they are. */
export type StoredSecrets = (vault: VaultConfig) => Secrets;

export interface ConfigSources {
  /** `--config FILE`. */
  readonly file?: string | undefined;
  readonly env: Environment;
  /** What `${secret:NAME}` means; asked only where one is named. There are none by default. */
  readonly secrets?: StoredSecrets | undefined;
  /** They win over everything else. */
  readonly cliOverrides?: CliOverrides | undefined;
  /** Where relative names of files begin; the process's own folder by default. */
  readonly cwd?: string | undefined;
}

/**
 * Reads the configuration: `file`, else the one that `MIZAN_CONFIG` names, else `./mizan.yaml` if there is one,
 * else nothing but defaults. What `applyDefaults` says holds for all of them.
 * @throws ConfigError with every problem there is.
 */
export function loadConfig(sources: ConfigSources): Config {
  const source = findSource(sources.file, sources.env, sources.cwd ?? process.cwd());
  return readConfig(source, sources.env, sources.cliOverrides, sources.secrets);
}

/**
 * The same from a text: what `loadConfig` does once the file is read.
 * @throws ConfigError with every problem there is.
 */
export function readConfig(
  source: Source | null,
  env: Environment,
  cli: CliOverrides = {},
  stored: StoredSecrets = () => new Map(),
): Config {
  const { tree, places, problems } = source === null ? emptyTree() : readYaml(source.text, source.name);
  if (tree === undefined) throw new ConfigError(inOrder(problems));
  const expanded = expandTree(tree, places, { env, secrets: secretsOf(tree, env, stored) });
  if (!isMapping(expanded.tree)) {
    throw new ConfigError(inOrder([...problems, problemOf(notAMapping, expanded.tree, places)]));
  }
  const whole = expanded.tree;
  dropEmptySections(whole);
  const unheard = overruled(whole, env);
  applyOutside(whole, places, { env, cli });
  applyDefaults(whole, places, env);
  const read = readTree(whole, places);
  const level = logLevelOf(env);
  const findings = [...read.findings, ...referenceFindings(whole)];
  const all = [
    ...problems,
    ...expanded.problems,
    ...findings.map((finding) => problemOf(finding, whole, places)),
    ...(typeof level === 'string' ? [] : [level]),
  ];
  if (read.config === undefined || typeof level !== 'string' || all.length > 0) throw new ConfigError(inOrder(all));
  return resolveConfig(read.config, {
    file: source?.name ?? null,
    level,
    notes: [...unheard, ...notesOn(whole, systemClock.now())],
  });
}

/** The stored secrets, from the first time that one is needed: by then what `VaultConfig` is of has to be known by itself. */
function secretsOf(tree: unknown, env: Environment, stored: StoredSecrets): () => Secrets | null {
  const sections = structuredClone(vaultSections(tree));
  let secrets: Secrets | null | undefined;
  return () => {
    if (secrets === undefined) secrets = openSecrets(sections, env, stored);
    return secrets;
  };
}

function openSecrets(sections: Mapping, env: Environment, stored: StoredSecrets): Secrets | null {
  const nowhere = new Places({ source: 'security', line: null, column: null });
  const { vault } = readVault(sections, nowhere, env);
  // What is wrong with it is reported where the whole is read.
  return vault === undefined ? null : stored(vault);
}

/**
 * Only where sealed things are and the master key is: for commands that have to work before the rest of the configuration does, since it
 * names secrets that they are there to store.
 * @throws ConfigError with what is wrong with that part.
 */
export function loadVaultConfig({ file, env, cwd }: ConfigSources): VaultConfig {
  const source = findSource(file, env, cwd ?? process.cwd());
  const { tree, places, problems } = source === null ? emptyTree() : readYaml(source.text, source.name);
  const read = readVault(vaultSections(tree), places, env);
  if (tree === undefined || read.vault === undefined) throw new ConfigError(inOrder([...problems, ...read.problems]));
  return read.vault;
}

/**
 * The same where the configuration names stored secrets; else `null`.
 * @throws ConfigError likewise.
 */
export function vaultOfNamedSecrets(sources: ConfigSources): VaultConfig | null {
  const source = findSource(sources.file, sources.env, sources.cwd ?? process.cwd());
  return source?.text.includes('${secret:') === true ? loadVaultConfig(sources) : null;
}

function vaultSections(tree: unknown): Mapping {
  const { security, database } = isMapping(tree) ? tree : newMapping();
  const given = Object.entries({ security, database }).filter(
    ([, section]) => section !== undefined && section !== null,
  );
  return newMapping(Object.fromEntries(given));
}

function readVault(
  tree: Mapping,
  places: Places,
  env: Environment,
): { readonly vault: VaultConfig | undefined; readonly problems: readonly Problem[] } {
  const expanded = expandTree(tree, places, { env, secrets: () => new Map() });
  applyOutside(tree, places, { env, cli: {} });
  const { security, database } = fileSchema.shape;
  const schema = z.object({ security, database });
  const parsed = schema.safeParse(tree, parsing);
  if (parsed.success && expanded.problems.length === 0) {
    const masterKey = masterKeyOf(parsed.data.security.masterKey);
    return { vault: { masterKey, databaseUrl: parsed.data.database.url }, problems: [] };
  }
  const findings = parsed.success ? [] : parsed.error.issues.flatMap((issue) => findingsOf(issue, tree));
  const problems = findings.map((finding) => problemOf(finding, tree, places));
  return { vault: undefined, problems: [...expanded.problems, ...problems] };
}

const notAMapping: Finding = { path: [], message: 'expected a mapping of sections (server:, providers:, …)' };

function emptyTree(): YamlTree {
  return { tree: newMapping(), places: new Places({ source: 'defaults', line: null, column: null }), problems: [] };
}

/** Reads a tree by the schema. Text from outside that the schema refuses is tried as the number that it spells. */
function readTree(tree: Mapping, places: Places): { config: FileConfig | undefined; findings: Finding[] } {
  const first = fileSchema.safeParse(tree, parsing);
  if (first.success) return { config: first.data, findings: [] };
  for (const { path } of first.error.issues) {
    const steps = path.map((step) => (typeof step === 'number' ? step : String(step)));
    const value = valueAt(tree, steps);
    if (places.get(steps)?.typeless === true && typeof value === 'string') {
      replaceAt(tree, steps, typedValue(value) ?? value);
    }
  }
  const second = fileSchema.safeParse(tree, parsing);
  if (second.success) return { config: second.data, findings: [] };
  return { config: undefined, findings: second.error.issues.flatMap((issue) => findingsOf(issue, tree)) };
}

function logLevelOf(env: Environment): LogLevel | Problem {
  const given = variableOf(env, 'LOG_LEVEL') ?? '';
  const level = given === '' ? 'info' : logLevels.find((each) => each === given.toLowerCase());
  const message = `expected one of ${logLevels.join(', ')}, found ${JSON.stringify(given.slice(0, 60))}`;
  return level ?? { ...environment, path: 'LOG_LEVEL', message };
}
