import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemClock } from '../../core/clock.ts';
import { MizanError, SetupError } from '../../core/errors.ts';
import { KeyRing } from '../../security/key-ring.ts';
import type { MasterKeySettings } from '../../security/master-keys.ts';
import { MasterKeys } from '../../security/master-keys.ts';
import { SqliteDataKeys } from './data-keys.ts';
import { databaseFile } from './file.ts';
import { SqliteSealedValues } from './sealed-values.ts';

/**
 * What `mizan secrets set` stored, by name, for reading a configuration: nothing is made or changed.
 * @throws SetupError where the master key is not the right one, or a secret is damaged.
 */
export function readStoredSecrets(folder: string, settings: MasterKeySettings): ReadonlyMap<string, string> {
  const file = join(folder, databaseFile);
  if (!existsSync(file)) return new Map();
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5000 });
  try {
    if (database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'sealed_values'").get() === undefined) {
      return new Map();
    }
    const ring = new KeyRing(new SqliteDataKeys(database), new MasterKeys(settings, folder), systemClock);
    const values = new SqliteSealedValues(database, ring, systemClock);
    const names = values.list('secret').map(({ name }) => name);
    if (names.length > 0) ring.check();
    return new Map(names.map((name) => [name, values.get('secret', name)?.toString() ?? '']));
  } catch (error) {
    if (error instanceof MizanError) throw new SetupError('The stored secrets can not be read', error);
    throw error;
  } finally {
    database.close();
  }
}
