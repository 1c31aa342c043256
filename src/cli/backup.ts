import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import type { loadVaultConfig } from '../config/load.ts';
import { MizanError, SetupError } from '../core/errors.ts';
import type { BackupTarget } from '../store/backup/contract.ts';
import type { BackupSettings } from '../store/backup/settings.ts';
import type { Reading } from '../store/backup/verify.ts';
import type { CommonOptions } from './options.ts';
import { configOf, withCommonOptions } from './options.ts';
import { progressBar } from './progress.ts';
import { print, say, table } from './say.ts';
import { stepBack } from './step-back.ts';
import { version } from './version.ts';
import { noteAudit } from './with-store.ts';

interface CreateOptions extends CommonOptions {
  readonly to?: string;
  readonly json?: boolean;
}

/** `mizan backup create|list|verify|restore` */
export function registerBackup(program: Command): void {
  const backup = program.command('backup').description('backups: sealed, and restored once before they count');

  withCommonOptions(backup.command('create').description('make a backup, and print where it is'))
    .option('--to <place>', 'a folder, s3 for the configured bucket, or s3://bucket/prefix at the same service')
    .option('--json', 'print JSON')
    .action((options: CreateOptions) => reported(() => create(options)));

  withCommonOptions(backup.command('list').description('the backups there are, newest first'))
    .option('--to <place>', 'of this folder or bucket only')
    .option('--json', 'print JSON')
    .action((options: CreateOptions) => reported(() => list(options)));

  withCommonOptions(
    backup
      .command('verify')
      .description('restore it into a scratch database, and compare')
      .argument('<file>', 'a file, or a name as it is listed'),
  )
    .option('--json', 'print JSON')
    .action((file: string, options: CreateOptions) => reported(() => verify(file, options)));

  withCommonOptions(
    backup
      .command('restore')
      .description('put it in the place of the data in use, which is kept aside')
      .argument('<file>', 'a file, or a name as it is listed'),
  ).action((file: string, options: CommonOptions) => reported(() => restore(file, options)));
}

/** What was refused or failed is one line and exit code 1; a defect keeps its stack. */
async function reported(action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof MizanError)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}

async function create(options: CreateOptions): Promise<void> {
  stepBack();
  const settings = await settingsOf(options);
  const { createConfiguredBackup } = await import('../store/backup/settings.ts');
  const targets = await targetsFor(settings, options.to);
  const bar = progressBar();
  const created = await createConfiguredBackup(settings, {
    now: Date.now(),
    targets,
    onProgress: bar.show,
  }).finally(bar.clear);
  const { name, bytes, manifest, places, removed } = created;
  await noteAudit(settings.dataFolder, {
    action: 'backup.create',
    target: `backup:${name}`,
    after: { bytes, places, removed },
  });
  if (options.json === true) {
    print(JSON.stringify({ name, bytes, places, removed, manifest }, null, 2));
    return;
  }
  for (const place of places) print(place);
  say(`${rowsOf(manifest)}, ${sizeOf(bytes)}; restored and compared.`);
  if (removed.length > 0) say(`Older ones that went: ${removed.join(', ')}`);
}

async function list(options: CreateOptions): Promise<void> {
  const settings = await settingsOf(options);
  const { listBackups, targetsOf } = await import('../store/backup/settings.ts');
  const targets = options.to === undefined ? targetsOf(settings) : await targetsFor(settings, options.to);
  const { backups, problems } = await listBackups(targets);
  const listed = backups.map(({ name, target, createdAt, bytes }) => ({
    name,
    target,
    created_at: new Date(createdAt).toISOString(),
    bytes,
  }));
  if (options.json === true) print(JSON.stringify(listed, null, 2));
  else {
    const rows = listed.map(({ name, target, created_at, bytes }) => [name, created_at, sizeOf(bytes), target]);
    print(table(['NAME', 'CREATED', 'SIZE', 'PLACE'], rows));
  }
  for (const { target, error } of problems) say(`${target}: ${error}`);
  if (problems.length > 0) process.exitCode = 1;
}

async function verify(given: string, options: CreateOptions): Promise<void> {
  stepBack();
  const { verifyBackup } = await import('../store/backup/restore.ts');
  const settings = await settingsOf(options);
  const manifest = await reading(given, settings, verifyBackup);
  if (options.json === true) print(JSON.stringify(manifest, null, 2));
  else say(`The backup of ${manifest.createdAt} is good: ${rowsOf(manifest)}, every byte as it was written.`);
}

async function restore(given: string, options: CommonOptions): Promise<void> {
  const { restoreBackup } = await import('../store/backup/restore.ts');
  const { loadVaultConfig: load } = await import('../config/load.ts');
  const settings = await restoreSettings(options);
  const configFile = options.config ?? process.env['MIZAN_CONFIG'] ?? 'mizan.yaml';
  const before = auditHead(settings);
  const { manifest, aside, config } = await reading(given, settings, (file, facts) =>
    restoreBackup(file, { ...facts, configFile, leadsHere: leadingTo(settings, load) }),
  );
  const target = `backup:${basename(given)}`;
  const after = { created_at: manifest.createdAt, aside };
  // In the database that was restored.
  await noteAudit(settings.dataFolder, {
    action: 'backup.restore',
    target,
    before: putAside(before, auditHead(settings)),
    after,
  });
  say(`The data is that of ${manifest.createdAt}: ${rowsOf(manifest)}.`);
  if (aside !== null) say(`What was there before is in ${aside}.`);
  if (config === null) return;
  say(`The configuration of that time is in ${config.file}.`);
  if (config.leadsHere) return;
  say(`It was not put in place: its database.url names another database than the one that was restored into.`);
  say(`Mizan would go on with that one. Change it, or write "\${DATABASE_URL}" there, and move it to ${configFile}.`);
}

/** Whether a configuration file leads to the database of `settings`. One that can't be read is not in anybody's way. */
function leadingTo({ databaseUrl }: BackupSettings, load: typeof loadVaultConfig): (file: string) => boolean {
  return (file) => {
    try {
      return (load({ file, env: process.env }).databaseUrl?.reveal() ?? null) === (databaseUrl?.reveal() ?? null);
    } catch {
      return true;
    }
  };
}

/** Finds the backup that is meant, and shows how `use` does. */
async function reading<T>(
  given: string,
  settings: BackupSettings,
  use: (file: string, reading: Reading & { readonly dataFolder: string }) => Promise<T>,
): Promise<T> {
  const { engineOf, masterKeysOf, targetsOf } = await import('../store/backup/settings.ts');
  const { withBackupFile } = await import('../store/backup/source.ts');
  const { show: onProgress, clear } = progressBar();
  const { dataFolder } = settings;
  const facts = { dataFolder, engine: engineOf(settings), masterKeys: masterKeysOf(settings), onProgress };
  const place = { given, targets: targetsOf(settings), dataFolder, onProgress };
  return withBackupFile(place, (file) => use(file, facts)).finally(clear);
}

function auditHead({ dataFolder }: BackupSettings): string | null {
  const file = join(dataFolder, 'audit.head');
  return existsSync(file) ? readFileSync(file, 'utf8') : null;
}

/** How far the audit log had got that was put aside, so that the one that goes on says what it doesn't have. */
function putAside(before: string | null, after: string | null): { readonly audit_seq: number } | null {
  const [seq] = before === after ? [] : (/^\d+/.exec(before ?? '') ?? []);
  return seq === undefined ? null : { audit_seq: Number(seq) };
}

async function settingsOf(options: CommonOptions): Promise<BackupSettings> {
  return settingsFrom(configOf(options), options);
}

/** On an empty machine the configuration named may not be there yet: it is in the backup. */
async function restoreSettings(options: CommonOptions): Promise<BackupSettings> {
  const named = options.config ?? process.env['MIZAN_CONFIG'];
  if (named === undefined || named === '' || existsSync(named)) return settingsOf(options);
  const { loadConfig } = await import('../config/load.ts');
  const { MIZAN_CONFIG: _, ...env } = process.env;
  return settingsFrom(loadConfig({ env }), options);
}

async function settingsFrom(config: Config, options: CommonOptions): Promise<BackupSettings> {
  const { backupSettings } = await import('../store/backup/settings.ts');
  const { masterKey } = config.security;
  return backupSettings(config, { dataFolder: options.data, masterKey, program: version });
}

async function targetsFor(settings: BackupSettings, to: string | undefined): Promise<readonly BackupTarget[]> {
  const { targetsOf } = await import('../store/backup/settings.ts');
  if (to === undefined) return targetsOf(settings);
  const { folderTarget } = await import('../store/backup/targets/folder.ts');
  const [, bucket, prefix = ''] = /^s3:\/\/([^/]+)\/?(.*)$/.exec(to) ?? [];
  if (!/^s3(?:$|:)/.test(to)) return [folderTarget(to)];
  if (settings.s3 === null) throw new SetupError(`--to ${to} needs backup.s3 in the configuration.`);
  const { s3Target } = await import('../store/backup/targets/s3.ts');
  if (to === 's3') return [s3Target(settings.s3)];
  if (bucket === undefined) throw new SetupError(`--to ${to} is neither s3 nor s3://bucket/prefix.`);
  return [s3Target({ ...settings.s3, bucket, prefix: prefix === '' ? '' : prefix.replace(/\/?$/, '/') })];
}

function rowsOf({ tables }: { readonly tables: readonly { readonly rows: number }[] }): string {
  return `${tables.reduce((sum, { rows }) => sum + rows, 0)} rows in ${tables.length} tables`;
}

function sizeOf(bytes: number): string {
  return bytes < 2 ** 20 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
