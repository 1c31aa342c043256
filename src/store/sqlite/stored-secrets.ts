import { existsSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { systemClock } from '../../core/clock.ts';
import { SetupError } from '../../core/errors.ts';
import { KeyRing } from '../../security/key-ring.ts';
import type { MasterKeys } from '../../security/master-keys.ts';
import { SqliteDataKeys } from './data-keys.ts';
import { openToLook } from './database.ts';
import { SqliteSealedValues } from './sealed-values.ts';

/**
 * What `mizan secrets set` stored, by name, for reading a configuration: nothing is made or changed.
 * @param file What `vaultFile` says, in the data folder.
 * @throws SetupError where the master key is not the right one, or a secret is damaged.
 */
export function readStoredSecrets(file: string, masterKeys: MasterKeys): ReadonlyMap<string, string> {
  const secrets = looking(file, masterKeys, ({ database, ring }) => {
    const values = new SqliteSealedValues(database, ring, systemClock);
    const names = values.list('secret').map(({ name }) => name);
    if (names.length > 0) ring.check();
    return new Map(names.map((name) => [name, values.get('secret', name)?.toString() ?? '']));
  });
  return secrets ?? new Map();
}

/**
 * Looks whether the master key unwraps the data keys that there are, and how many that is.
 * @throws SetupError where it doesn't.
 */
export function inspectSealed(file: string, masterKeys: MasterKeys): number {
  const count = looking(file, masterKeys, ({ keys, ring }) => {
    const all = keys.list();
    if (all.length > 0) ring.check();
    return all.length;
  });
  return count ?? 0;
}

/** What is sealed in the database, if it is there and has anything that is. */
interface Sealed {
  readonly database: DatabaseSync;
  readonly keys: SqliteDataKeys;
  readonly ring: KeyRing;
}

function looking<T>(file: string, masterKeys: MasterKeys, look: (sealed: Sealed) => T): T | undefined {
  if (!existsSync(file)) return undefined;
  const database = openToLook(file);
  try {
    if (database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'data_keys'").get() === undefined) return undefined;
    const keys = new SqliteDataKeys(database);
    return look({ database, keys, ring: new KeyRing(keys, masterKeys, systemClock) });
  } catch (error) {
    if (error instanceof SetupError) throw error;
    throw new SetupError('What is stored sealed can not be read', error);
  } finally {
    database.close();
  }
}
