import type { Store } from '../store/sqlite/index.ts';
import type { MasterKeys } from '../security/master-keys.ts';
import { say } from './say.ts';

/** Opens the store for as long as `use` takes. What can't be written to the audit log is said. */
export async function withStore<T>(
  folder: string,
  use: (store: Store) => T | Promise<T>,
  masterKeys?: MasterKeys,
): Promise<T> {
  const { openStore } = await import('../store/sqlite/index.ts');
  const failed = (error: unknown): void =>
    say(`The audit log could not be written: ${error instanceof Error ? error.message : String(error)}`);
  const auditEvents = { failed, recovered() {}, dropped() {} };
  const store = await openStore(folder, { auditEvents, ...(masterKeys === undefined ? {} : { masterKeys }) });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}
