import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { holdBackups, holdDataAlone } from '../folder-lock.ts';
import type { Manifest } from './manifest.ts';
import type { Reading } from './verify.ts';
import { inspectBackup, withScratch } from './verify.ts';
import { restingBetween, withWork } from './work.ts';

export interface Restoring extends Reading {
  readonly dataFolder: string;
  /** Where the configuration is put, if there is no file yet. */
  readonly configFile: string;
  /** Whether a configuration file leads to the database that is restored into; every one does where this is left out. */
  readonly leadsHere?: (file: string) => boolean;
}

/** What a restore did. */
export interface Restored {
  readonly manifest: Manifest;
  /** Where the data is that was in use before; `null` where there was none. */
  readonly aside: string | null;
  /** The configuration of the backup; `null` where it had none, or the file is the same already. */
  readonly config: PlacedConfig | null;
}

export interface PlacedConfig {
  readonly file: string;
  /** Whether it leads to the database that was restored into. One that doesn't is not put where it would be used. */
  readonly leadsHere: boolean;
}

/** Of a restore that doesn't overwrite a configuration that is there. */
const besideName = 'restored-mizan.yaml';

/**
 * Puts a backup in the place of the data in use, whose files are kept aside.
 * @throws MizanError `backup_damaged`, `backup_unusable` and `backup_running`, before it touches anything.
 */
export async function restoreBackup(file: string, restoring: Restoring): Promise<Restored> {
  const { dataFolder } = restoring;
  const manifest = await inspectBackup(file, restoring);
  const backups = holdBackups(dataFolder);
  try {
    const alone = holdDataAlone(dataFolder);
    try {
      return await withWork(dataFolder, 'restore-work', async (work) => {
        let config: Buffer | null = null;
        const onConfig = (bytes: Buffer): void => {
          config = bytes;
        };
        return withScratch(file, manifest, { ...restoring, work, onConfig }, async (scratch, read) => {
          const aside = await scratch.adopt();
          return { manifest: read, aside, config: config === null ? null : placeConfig(config, restoring) };
        });
      });
    } finally {
      alone.release();
    }
  } finally {
    backups.release();
  }
}

/**
 * Restores into a scratch database beside the data in use, which it leaves alone.
 * @throws MizanError `backup_damaged`, `backup_unusable`; `backup_running` where a backup is being made.
 */
export async function verifyBackup(
  file: string,
  reading: Reading & { readonly dataFolder: string },
): Promise<Manifest> {
  const manifest = await inspectBackup(file, reading);
  const hold = holdBackups(reading.dataFolder);
  try {
    return await restingBetween(reading, (onProgress) =>
      withWork(reading.dataFolder, 'verify-work', (work) =>
        withScratch(file, manifest, { ...reading, onProgress, work }, async (_scratch, read) => read),
      ),
    );
  } finally {
    hold.release();
  }
}

function placeConfig(config: Buffer, { configFile, dataFolder, leadsHere }: Restoring): PlacedConfig | null {
  if (existsSync(configFile) && readFileSync(configFile).equals(config)) return null;
  const beside = join(dataFolder, besideName);
  writeFileSync(beside, config, { mode: 0o600, flush: true });
  const isOurs = leadsHere?.(beside) ?? true;
  if (existsSync(configFile) || !isOurs) return { file: beside, leadsHere: isOurs };
  // It may lie on another disk.
  writeFileSync(configFile, config, { mode: 0o600, flush: true });
  rmSync(beside);
  return { file: configFile, leadsHere: true };
}
