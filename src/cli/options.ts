import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import type { CliOverrides, StoredSecrets } from '../config/load.ts';
import { loadConfig } from '../config/load.ts';
import type { Role } from '../core/principal.ts';
import { isTenantName, roles } from '../core/principal.ts';
import type { Priority } from '../core/priority.ts';
import { priorities } from '../core/priority.ts';
import { parseDuration } from '../core/duration.ts';
import { MasterKeys } from '../security/master-keys.ts';
import { vaultFile } from '../store/sqlite/file.ts';
import { readStoredSecrets } from '../store/sqlite/stored-secrets.ts';

/** What every command takes. */
export interface CommonOptions {
  readonly config?: string;
  readonly data: string;
}

/** `--config` and `--data`, the same for every command. */
export function withCommonOptions(command: Command): Command {
  return command
    .option('--config <file>', 'the configuration; default: MIZAN_CONFIG, else ./mizan.yaml if there is one')
    .option('--data <dir>', 'where the database and the secrets are', process.env['MIZAN_DATA'] ?? './data');
}

/** The configuration that a command works with; the command line's own settings win over it. */
export function configOf({ config, data }: CommonOptions, cliOverrides?: CliOverrides): Config {
  const secrets: StoredSecrets = ({ masterKey, databaseUrl: url }) =>
    readStoredSecrets(join(data, vaultFile(url)), new MasterKeys(masterKey, data));
  return loadConfig({ file: config, env: process.env, secrets, cliOverrides });
}

/** Of the configuration's database; `null` for SQLite in the data folder. */
export function databaseUrl(options: CommonOptions): string | null {
  return configOf(options).database.url?.reveal() ?? null;
}

/** `90s`, `15m`, `1h`, `30d`, or plain seconds; in seconds. */
export function duration(text: string): number {
  const seconds = parseDuration(text) ?? 0;
  if (seconds === 0) throw new InvalidArgumentError('Expected a time such as 90s, 15m, 1h or 30d.');
  return seconds;
}

export function wholeNumber(from: number, to: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= from && value <= to) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${from} to ${to}.`);
  };
}

export function role(text: string): Role {
  const found = roles.find((known) => known === text);
  if (found === undefined) throw new InvalidArgumentError(`Expected one of ${roles.join(', ')}.`);
  return found;
}

export function priority(text: string): Priority {
  const found = priorities.find((known) => known === text);
  if (found === undefined) throw new InvalidArgumentError(`Expected one of ${priorities.join(', ')}.`);
  return found;
}

/** `a,b` */
export function names(text: string): string[] {
  const list = text.split(',').map((part) => part.trim());
  if (list.includes('')) throw new InvalidArgumentError('Expected names with commas between: a,b.');
  return list;
}

/** The name of a tenant that identities may be of. */
export function tenant(text: string): string {
  if (isTenantName(text)) return name(text);
  throw new InvalidArgumentError('Expected the name of one tenant, other than "system".');
}

/** A subject's or a tenant's name. */
export function name(text: string): string {
  if (/^[^\p{C}]{1,100}$/u.test(text)) return text;
  throw new InvalidArgumentError('Expected a name of 1 to 100 characters.');
}
