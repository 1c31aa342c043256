import type { Store } from '../store/sqlite/index.ts';
import type { CommonOptions } from './options.ts';
import { configOf } from './options.ts';

/** Opens the store for one thing to be done, and closes it again. A wrong configuration is said before. */
export async function withStore<T>(options: CommonOptions, use: (store: Store) => T): Promise<T> {
  configOf(options);
  const { openStore } = await import('../store/sqlite/index.ts');
  const store = await openStore(options.data);
  try {
    return use(store);
  } finally {
    await store.close();
  }
}
