import { loadMasterKeyConfig } from '../config/load.ts';
import type { AuditLog } from '../core/audit.ts';
import { MasterKeys } from '../security/master-keys.ts';
import type { Vault } from '../store/sqlite/vault.ts';
import type { CommonOptions } from './options.ts';
import { withStore } from './with-store.ts';

/**
 * Opens what is sealed in the data folder, with the configured master key, for as long as `use` takes. Of the
 * configuration it reads no more than that.
 */
export async function withVault<T>(
  options: CommonOptions,
  use: (vault: Vault, audit: AuditLog) => T | Promise<T>,
): Promise<T> {
  const masterKeys = new MasterKeys(loadMasterKeyConfig({ file: options.config, env: process.env }), options.data);
  return withStore(options.data, ({ vault, audit }) => use(vault, audit), masterKeys);
}
