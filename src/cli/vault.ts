import { loadVaultConfig } from '../config/load.ts';
import type { AuditLog } from '../core/audit.ts';
import { MasterKeys } from '../security/master-keys.ts';
import type { Store } from '../store/index.ts';
import type { Vault } from '../store/sqlite/vault.ts';
import type { CommonOptions } from './options.ts';
import { withStore } from './with-store.ts';

/**
 * Opens what is sealed, where the configured database keeps it, with the configured master key, for as long as `use`
 * takes. Of the configuration it reads no more than that.
 */
export async function withVault<T>(
  options: CommonOptions,
  use: (vault: Vault, audit: AuditLog, more: Pick<Store, 'auditHistory' | 'sealedJobs'>) => T | Promise<T>,
): Promise<T> {
  const { masterKey, databaseUrl } = loadVaultConfig({ file: options.config, env: process.env });
  const at = { folder: options.data, url: databaseUrl?.reveal() ?? null };
  return withStore(at, (store) => use(store.vault, store.audit, store), new MasterKeys(masterKey, options.data));
}
