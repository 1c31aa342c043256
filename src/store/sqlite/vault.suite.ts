import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import { temporaryFolder } from '../../../test/support/folder.ts';
import type { SealContext } from '../../core/sealing.ts';
import type { MasterKeySettings } from '../../security/master-keys.ts';
import { MasterKeys, noMasterKeySettings } from '../../security/master-keys.ts';
import { SqliteApiKeys } from './api-keys.ts';
import { openDatabase } from './database.ts';
import { databaseFile } from './file.ts';
import { IdentityEpoch } from './identity-epoch.ts';
import { migrate } from './migrate.ts';
import { checkMasterKey, Vault } from './vault.ts';

export const context: SealContext = { tenant: 'acme', purpose: 'payload', row: 'req_1' };
export const data = Buffer.from('what was said');

/** A vault as a process opens it. */
export async function open(
  folder = temporaryFolder(),
  settings: Partial<MasterKeySettings> = {},
  clock = new ManualClock(),
) {
  const database = openDatabase(join(folder, databaseFile), { readOnly: false, busyTimeoutMs: 5000 });
  onTestFinished(() => {
    if (database.isOpen) database.close();
  });
  const masters = new MasterKeys({ ...noMasterKeySettings, ...settings }, folder);
  checkMasterKey(database, masters);
  await migrate(database);
  const epoch = new IdentityEpoch(database, clock);
  const vault = new Vault(database, { masters, epoch, clock, hasJobs: true });
  vault.prepare();
  const apiKeys = new SqliteApiKeys(database, { epoch, seal: vault.apiKeySeal });
  return { folder, database, masters, epoch, vault, clock, apiKeys };
}

/** What comes of it: the value, or what the error says. */
export function outcome(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return (error as Error).message;
  }
}
