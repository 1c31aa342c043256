import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { KeepRule } from '../../core/backups.ts';
import type { MasterKeys } from '../../security/master-keys.ts';
import { holdBackups } from '../folder-lock.ts';
import type { BackupEngine, BackupTarget, OnProgress, Snapshot } from './contract.ts';
import { BackupWriter } from './format.ts';
import { dispensable } from './keep.ts';
import type { Manifest } from './manifest.ts';
import { backupName } from './name.ts';
import { configPart, withScratch } from './verify.ts';
import { needSpace, restingBetween, withWork } from './work.ts';

/** What is backed up, how, and whereto. */
export interface BackupPlan {
  readonly dataFolder: string;
  readonly engine: BackupEngine;
  readonly masterKeys: MasterKeys;
  /** The configuration file; `null` where there is none. */
  readonly configFile: string | null;
  /** The first gets the file, the others copies of it. */
  readonly targets: readonly [BackupTarget, ...BackupTarget[]];
  readonly keep: KeepRule;
  /** The version of Mizan. */
  readonly program: string;
  /** In ms since the Unix epoch. */
  readonly now: number;
  readonly onProgress: OnProgress;
}

/** A backup that was made and verified. */
export interface CreatedBackup {
  readonly name: string;
  readonly bytes: number;
  readonly manifest: Manifest;
  /** Where it is, in the order of the targets. */
  readonly places: readonly string[];
  /** Older ones that the rule let go, by name. */
  readonly removed: readonly string[];
}

/** The folder in the data folder where a backup is made. */
export const workName = 'backup-work';

/**
 * Makes a backup: copies the database as of one moment while others write to it, seals the copy into one file,
 * restores that into a scratch database, compares, and only then gives it its name. Afterwards older ones go, by the
 * rule. Safe to kill at any moment: what is unfinished is never listed, and goes with the next run.
 * @throws MizanError `backup_running` where another is being made, `backup_damaged` where it didn't come back as it
 * was, `upstream_error` where the S3 service failed: then the folder has it all the same.
 */
export async function createBackup(plan: BackupPlan): Promise<CreatedBackup> {
  const hold = holdBackups(plan.dataFolder);
  try {
    return await restingBetween(plan, (onProgress) =>
      withWork(plan.dataFolder, workName, (work) => create({ ...plan, onProgress }, work)),
    );
  } finally {
    hold.release();
  }
}

async function create(plan: BackupPlan, work: string): Promise<CreatedBackup> {
  const { engine, masterKeys, targets, onProgress } = plan;
  const [first, ...others] = targets;
  const name = backupName(plan.now);
  const draft = await first.draft(name, work);
  try {
    const snapshot = await engine.snapshot(work, onProgress);
    let manifest: Manifest;
    try {
      manifest = await write(plan, snapshot, draft);
    } finally {
      await snapshot.close();
    }
    await withScratch(draft, manifest, { engine, masterKeys, work, onProgress }, async () => {});
    const bytes = statSync(draft).size;
    const removed = new Set<string>();
    const kept = await first.keep(draft, name, onProgress);
    await prune(first, { keep: plan.keep, made: name }, removed);
    const places = [kept];
    for (const target of others) {
      // A folder has it under its name by now; a bucket left the draft where it was.
      places.push(await target.keep(existsSync(draft) ? draft : kept, name, onProgress));
      await prune(target, { keep: plan.keep, made: name }, removed);
    }
    return { name, bytes, manifest, places, removed: [...removed] };
  } finally {
    rmSync(draft, { force: true });
  }
}

async function write(plan: BackupPlan, snapshot: Snapshot, draft: string): Promise<Manifest> {
  const { engine, masterKeys, program, configFile, onProgress } = plan;
  const createdAt = new Date(plan.now).toISOString();
  needSpace(dirname(draft), snapshot.bytes);
  const hasSealed = snapshot.facts.tables.some(({ name, rows }) => name === 'data_keys' && rows > 0);
  // Where data keys are wrapped already, a master key that isn't there was lost, and a new one would be of no use.
  const masterKey = masterKeys.current(!hasSealed);
  const file = await open(draft, 'wx', 0o600);
  try {
    const writer = await BackupWriter.begin(file, masterKey, { createdAt, program, engine: engine.name });
    let done = 0;
    const onBytes = (count: number): void => {
      done += count;
      onProgress({ step: 'writing', done, total: snapshot.bytes });
    };
    const config = configFile !== null && existsSync(configFile) ? readFileSync(configFile) : null;
    if (config !== null) await writer.part({ name: configPart, bytes: [config] }, () => {});
    for await (const part of snapshot.parts()) await writer.part(part, onBytes);
    return await writer.end({
      createdAt,
      program,
      engine: engine.name,
      migrations: [...snapshot.facts.migrations],
      tables: snapshot.facts.tables.map((table) => ({ ...table })),
      config: config === null || configFile === null ? null : basename(configFile),
      masterKey: masterKey.id,
    });
  } finally {
    await file.close();
  }
}

/** The one that was just made stays, whatever the dates of others say: a clock may have been wrong when they were made. */
async function prune(
  target: BackupTarget,
  { keep, made }: { readonly keep: KeepRule; readonly made: string },
  removed: Set<string>,
): Promise<void> {
  for (const { name } of dispensable(await target.list(), keep)) {
    if (name === made) continue;
    await target.remove(name);
    removed.add(name);
  }
}
