import type { AuditEvent } from '../core/audit.ts';
import { byOperator } from '../core/audit.ts';
import type { MasterKeys } from '../security/master-keys.ts';
import type { Store, StoreSettings } from '../store/index.ts';
import type { CommonOptions } from './options.ts';
import { databaseUrl } from './options.ts';
import { say } from './say.ts';

/** Where the store of a command is. */
export function placeOf(options: CommonOptions): StoreSettings {
  return { folder: options.data, url: databaseUrl(options) };
}

/**
 * Opens the store for as long as `use` takes. What can't be written to the audit log is said.
 * @param masterKeys For what is sealed.
 */
export async function withStore<T>(
  at: StoreSettings,
  use: (store: Store) => T | Promise<T>,
  masterKeys?: MasterKeys,
): Promise<T> {
  const { openStore } = await import('../store/index.ts');
  const failed = (error: unknown): void =>
    say(`The audit log could not be written: ${error instanceof Error ? error.message : String(error)}`);
  const auditEvents = { failed, recovered() {}, dropped() {} };
  const store = await openStore({ ...at, auditEvents, ...(masterKeys === undefined ? {} : { masterKeys }) });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** Leaves an entry about nobody's data in particular in the audit log, which is the data folder's own whatever the database. */
export async function noteAudit(
  folder: string,
  did: Pick<AuditEvent, 'action' | 'target'> & Partial<Pick<AuditEvent, 'outcome' | 'before' | 'after'>>,
): Promise<void> {
  await withStore({ folder, url: null }, ({ audit }) => audit.record(byOperator({ ...did, tenant: 'system' })));
}
