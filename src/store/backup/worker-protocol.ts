import type { NewBackup } from '../../core/backups.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { StopFlag } from '../stop-flag.ts';
import type { Progress } from './contract.ts';
import type { PlainSettings } from './settings.ts';

/** What the thread for one backup is given. */
export interface BackupOrder {
  readonly settings: PlainSettings;
  /** In ms since the Unix epoch. */
  readonly now: number;
  /** Raised where it is to be given up. */
  readonly stop: StopFlag;
}

export type BackupReply =
  | { readonly progress: Progress }
  | { readonly done: NewBackup }
  | { readonly failed: { readonly code: ErrorCode; readonly message: string; readonly detail: string } };
