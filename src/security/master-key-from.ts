import { Secret } from '../core/secret.ts';
import type { MasterKeySettings } from './master-keys.ts';
import { noMasterKeySettings } from './master-keys.ts';

/** The master key of `MIZAN_MASTER_KEY`, where that is set. */
export function masterKeyFrom(env: NodeJS.ProcessEnv): MasterKeySettings {
  const given = env['MIZAN_MASTER_KEY'] ?? '';
  return given === '' ? noMasterKeySettings : { ...noMasterKeySettings, key: new Secret(given) };
}
