import type { Store } from '../store/sqlite/index.ts';
import { say } from './say.ts';

/** Opens the store for as long as `use` takes. What can't be written to the audit log is said. */
export async function withStore<T>(folder: string, use: (store: Store) => T | Promise<T>): Promise<T> {
  const { openStore } = await import('../store/sqlite/index.ts');
  const failed = (error: unknown): void =>
    say(`The audit log could not be written: ${error instanceof Error ? error.message : String(error)}`);
  const store = await openStore(folder, { auditEvents: { failed, recovered() {}, dropped() {} } });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}
