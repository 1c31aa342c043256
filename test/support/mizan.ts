import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { startMizan } from '../../src/main.ts';
import { createTokens } from '../../src/security/create-tokens.ts';
import type { TokenGrant } from '../../src/security/tokens.ts';
import { MasterKeys } from '../../src/security/master-keys.ts';
import { vaultFile } from '../../src/store/sqlite/file.ts';
import { readStoredSecrets } from '../../src/store/sqlite/stored-secrets.ts';
import { launch } from './command.ts';
import type { Launched } from './command.ts';

/** A folder of a test's own, with a configuration and a data folder that is not there yet. */
export interface House {
  readonly folder: string;
  readonly configFile: string;
  readonly dataFolder: string;
  remove(): Promise<void>;
}

/** A Mizan that a test talks to. */
export interface Running extends House {
  readonly url: string;
  readonly metricsUrl: string;
  /** A token for whom the test says; a member of the tenant `default` where it doesn't. */
  token(grant?: Partial<TokenGrant>): Promise<string>;
  /** Ends it and removes its folder. */
  end(): Promise<void>;
}

/** One that runs in a process of its own. */
export interface RunningProcess extends Running {
  readonly process: Launched;
}

/** A model's `health` with which its instances stay in use, however often they fail. */
export const everInUse = { consecutiveFailures: 1000, minRequests: 100_000, lockMs: 1, pauseMs: 1 };

const folders = new Set<string>();

async function remove(folder: string): Promise<void> {
  folders.delete(folder);
  await rm(folder, { recursive: true, force: true });
}

// What a test left behind that failed half-way.
afterAll(() => Promise.all([...folders].map(remove)));

/** @param config As it would stand in `mizan.yaml`. */
export async function furnish(config: object): Promise<House> {
  const folder = await mkdtemp(join(tmpdir(), 'mizan-test-'));
  folders.add(folder);
  const configFile = join(folder, 'mizan.yaml');
  // JSON is YAML.
  await writeFile(configFile, JSON.stringify(config, null, 2));
  return { folder, configFile, dataFolder: join(folder, 'data'), remove: () => remove(folder) };
}

/** The configuration on free ports. Nothing of the environment reaches it. */
export function readConfig(house: House, env: Readonly<Record<string, string>> = {}): Config {
  return loadConfig({
    file: house.configFile,
    env: { LOG_LEVEL: 'warn', ...env },
    secrets: ({ masterKey, databaseUrl }) =>
      readStoredSecrets(join(house.dataFolder, vaultFile(databaseUrl)), new MasterKeys(masterKey, house.dataFolder)),
    cliOverrides: { port: 0, metricsPort: 0 },
  });
}

/** Starts Mizan in this process, on free ports, without jobs: none asks an upstream in the middle of a test. */
export async function runMizan(config: object): Promise<Running> {
  const house = await furnish(config);
  const mizan = await startMizan(readConfig(house), house.dataFolder, { role: 'gateway' });
  return {
    ...house,
    url: mizan.url,
    metricsUrl: mizan.metricsUrl,
    token: (grant) => mizan.tokens.sign(grantOf(grant), Date.now()),
    async end() {
      await mizan.close();
      await house.remove();
    },
  };
}

/**
 * Starts `mizan start` as a process, on free ports, in a folder that may have been furnished before; without jobs unless
 * its role is `all`.
 */
export async function startProcess(
  config: object,
  existing?: House,
  role: 'all' | 'gateway' = 'gateway',
): Promise<RunningProcess> {
  const house = existing ?? (await furnish(config));
  const launched = launch(['start', '--role', role, ...commonOptions(house), '--port', '0', '--metrics-port', '0']);
  const [, url = '', metricsUrl = ''] = await launched.said(/listens on (\S+), with metrics on (\S+)\/metrics/);
  const tokens = createTokens(readConfig(house), house.dataFolder);
  return {
    ...house,
    process: launched,
    url,
    metricsUrl,
    token: (grant) => tokens.sign(grantOf(grant), Date.now()),
    async end() {
      launched.signal('SIGKILL');
      await launched.ended;
      await house.remove();
    },
  };
}

export function commonOptions(house: House): string[] {
  return ['--config', house.configFile, '--data', house.dataFolder];
}

function grantOf(grant: Partial<TokenGrant> = {}): TokenGrant {
  return { subject: 'tester', tenant: 'default', role: 'member', agents: null, ttl: 3600, ...grant };
}
