import type { Command } from 'commander';
import { ConfigError, vaultOfNamedSecrets } from '../config/load.ts';
import type { VaultConfig } from '../config/load.ts';
import { SetupError } from '../core/errors.ts';
import type { CommonOptions } from './options.ts';
import { say } from './say.ts';

/** Those that read no secret by its name in the configuration, or must not touch the database before their time. */
const without = new Set(['secrets', 'tenants', 'encrypt', 'decrypt', 'migrate', 'restore']);

/**
 * With PostgreSQL, stored secrets are read from the copy in the data folder. Where the configuration names some, this
 * brings the copy up to date before it is read: the folder may be new. Without PostgreSQL it is as it was.
 */
export async function bringStoredSecrets(command: Command): Promise<void> {
  const { config, data } = command.opts<Partial<CommonOptions>>();
  if (data === undefined || [command, command.parent].some((each) => without.has(each?.name() ?? ''))) return;
  const url = vaultOf(config)?.databaseUrl ?? null;
  if (url === null) return;
  const { openStore } = await import('../store/index.ts');
  try {
    await (await openStore({ folder: data, url: url.reveal() })).close();
  } catch (error) {
    // A start goes on with what is known here; what can't, says so by itself.
    if (!(error instanceof SetupError)) throw error;
    say(`Note: the stored secrets are those of the last time. ${error.message}`);
  }
}

function vaultOf(file: string | undefined): VaultConfig | null {
  try {
    return vaultOfNamedSecrets({ file, env: process.env });
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}
