import type { Vault } from '../store/sqlite/vault.ts';
import type { CommonOptions } from './options.ts';
import { loadMasterKeyConfig } from '../config/load.ts';
import { MasterKeys } from '../security/master-keys.ts';

/**
 * Opens what is sealed in the data folder, with the configured master key, for as long as `use` takes. Of the
 * configuration it reads no more than that.
 */
export async function withVault<T>(options: CommonOptions, use: (vault: Vault) => T | Promise<T>): Promise<T> {
  const { openStore } = await import('../store/sqlite/index.ts');
  const masterKeys = new MasterKeys(loadMasterKeyConfig({ file: options.config, env: process.env }), options.data);
  const store = await openStore(options.data, { masterKeys });
  try {
    return await use(store.vault);
  } finally {
    await store.close();
  }
}
