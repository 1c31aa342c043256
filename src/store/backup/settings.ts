import { join } from 'node:path';
import type { BackupList, KeepRule, NewBackup, S3Settings } from '../../core/backups.ts';
import { Secret } from '../../core/secret.ts';
import type { MasterKeySettings } from '../../security/master-keys.ts';
import { MasterKeys } from '../../security/master-keys.ts';
import type { BackupEngine, BackupTarget, OnProgress } from './contract.ts';
import type { CreatedBackup } from './create.ts';
import { createBackup } from './create.ts';
import { backupEngine } from './engines/index.ts';
import { newestFirst } from './name.ts';
import { configuredTargets } from './targets/index.ts';

/** What a configuration says of backups. */
export interface BackupSettings {
  readonly dataFolder: string;
  /** `null` where there is none. */
  readonly configFile: string | null;
  /** `null` for SQLite in the data folder. */
  readonly databaseUrl: Secret<string> | null;
  /** `null`: `backups` in the data folder. */
  readonly dir: string | null;
  readonly s3: S3Settings | null;
  readonly keep: KeepRule;
  readonly masterKey: MasterKeySettings;
  /** The version of Mizan. */
  readonly program: string;
}

/** What of a configuration is about backups. */
interface Configured {
  readonly file: string | null;
  readonly database: { readonly url: Secret<string> | null };
  readonly backup: Pick<BackupSettings, 'dir' | 's3' | 'keep'>;
}

export function backupSettings(
  { file, database, backup }: Configured,
  more: Pick<BackupSettings, 'dataFolder' | 'masterKey' | 'program'>,
): BackupSettings {
  const { dir, s3, keep } = backup;
  return { configFile: file, databaseUrl: database.url, dir, s3, keep, ...more };
}

/** The same for another thread, which can be sent nothing but plain data. */
export interface PlainSettings extends Omit<BackupSettings, 'databaseUrl' | 's3' | 'masterKey'> {
  readonly databaseUrl: string | null;
  readonly s3: (Omit<S3Settings, 'secretAccessKey'> & { readonly secretAccessKey: string }) | null;
  readonly masterKey: { readonly [K in keyof MasterKeySettings]: Plain<MasterKeySettings[K]> };
}

type Plain<T> = T extends Secret<infer S> ? S : T;

export function toPlain(settings: BackupSettings): PlainSettings {
  const { databaseUrl, s3, masterKey } = settings;
  return {
    ...settings,
    databaseUrl: revealed(databaseUrl),
    s3: s3 === null ? null : { ...s3, secretAccessKey: s3.secretAccessKey.reveal() },
    masterKey: { ...masterKey, key: revealed(masterKey.key), previous: revealed(masterKey.previous) },
  };
}

export function fromPlain(plain: PlainSettings): BackupSettings {
  const { databaseUrl, s3, masterKey } = plain;
  return {
    ...plain,
    databaseUrl: hidden(databaseUrl),
    s3: s3 === null ? null : { ...s3, secretAccessKey: new Secret(s3.secretAccessKey) },
    masterKey: { ...masterKey, key: hidden(masterKey.key), previous: hidden(masterKey.previous) },
  };
}

function revealed(secret: Secret<string> | null): string | null {
  return secret?.reveal() ?? null;
}

function hidden(text: string | null): Secret<string> | null {
  return text === null ? null : new Secret(text);
}

/** The master key of the settings, which is read when it is needed. */
export function masterKeysOf(settings: BackupSettings): MasterKeys {
  return new MasterKeys(settings.masterKey, settings.dataFolder);
}

/** Where the configuration says that backups go; the folder first. */
export function targetsOf(settings: BackupSettings): BackupTarget[] {
  return configuredTargets({ dir: settings.dir ?? join(settings.dataFolder, 'backups'), s3: settings.s3 });
}

export function engineOf(settings: BackupSettings): BackupEngine {
  return backupEngine(settings.dataFolder, settings.databaseUrl?.reveal() ?? null);
}

/** Makes a backup by the configuration, on this thread. Throws what `createBackup` does. */
export async function createConfiguredBackup(
  settings: BackupSettings,
  run: { readonly now: number; readonly onProgress: OnProgress; readonly targets?: readonly BackupTarget[] },
): Promise<CreatedBackup> {
  const { dataFolder, configFile, keep, program } = settings;
  const [first, ...others] = run.targets ?? targetsOf(settings);
  if (first === undefined) throw new RangeError('There is no place for the backup.');
  return createBackup({
    dataFolder,
    engine: engineOf(settings),
    masterKeys: masterKeysOf(settings),
    configFile,
    targets: [first, ...others],
    keep,
    program,
    now: run.now,
    onProgress: run.onProgress,
  });
}

/** The backups in some places. One that can't be asked hides nothing of the others. */
export async function listBackups(targets: readonly BackupTarget[]): Promise<BackupList> {
  const lists = await Promise.all(
    targets.map(async (target) => {
      try {
        return { target: target.label, backups: await target.list(), error: null };
      } catch (error) {
        return { target: target.label, backups: [], error: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
  return {
    backups: lists
      .flatMap(({ target, backups }) => backups.map((backup) => ({ ...backup, target })))
      .toSorted(newestFirst),
    problems: lists.flatMap(({ target, error }) => (error === null ? [] : [{ target, error }])),
  };
}

export function newBackup({ name, bytes, manifest, places, removed }: CreatedBackup): NewBackup {
  return { name, bytes, places, removed, rows: manifest.tables.reduce((sum, { rows }) => sum + rows, 0) };
}
