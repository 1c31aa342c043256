import type { BackupTarget } from '../contract.ts';
import { folderTarget } from './folder.ts';
import type { S3Settings } from '../../../core/backups.ts';
import { s3Target } from './s3.ts';

export interface TargetSettings {
  readonly dir: string;
  /** `null` where nothing is uploaded. */
  readonly s3: S3Settings | null;
}

/** Where backups go: into the folder, and from there to the bucket, where there is one. */
export function configuredTargets(settings: TargetSettings): BackupTarget[] {
  return [folderTarget(settings.dir), ...(settings.s3 === null ? [] : [s3Target(settings.s3)])];
}
