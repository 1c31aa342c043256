import type { Config } from './config.ts';
import { ConfigError, readConfig } from './load.ts';
import type { CliOverrides, StoredSecrets } from './load.ts';

type Env = Readonly<Record<string, string>>;

/** A simulator, so that texts can leave out what they are not about. */
export const sim = 'providers: { sim: { kind: simulator } }';

/** What a `mizan.yaml` of this text means. */
export function read(text: string, env: Env = {}, cli: CliOverrides = {}, stored?: StoredSecrets): Config {
  return readConfig({ name: 'mizan.yaml', text }, env, cli, stored);
}

/** What is wrong with it, line by line. */
export function problems(text: string, env: Env = {}, cli: CliOverrides = {}, stored?: StoredSecrets): string[] {
  try {
    read(text, env, cli, stored);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n');
    throw error;
  }
  return [];
}
