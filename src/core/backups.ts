import type { Secret } from './secret.ts';

/** How many backups stay: the newest so many, or the newest of each of the last so many days, weeks and months. */
export type KeepRule = number | { readonly daily: number; readonly weekly: number; readonly monthly: number };

/** A bucket of an S3-compatible service. */
export interface S3Settings {
  /** `https://s3.eu-central-1.amazonaws.com` */
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  /** Before every key; `''`, or ends in `/`. */
  readonly prefix: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: Secret<string>;
  /** `endpoint/bucket/key` and not `bucket.endpoint/key`. */
  readonly forcePathStyle: boolean;
  /** Where connections may lead besides public addresses: `egress.allow`. */
  readonly egressAllow: readonly string[];
}

/** A backup that lies somewhere. It has been restored and compared once, or it would not be listed. */
export interface BackupListing {
  readonly name: string;
  /** As people name the place: a folder's path, `s3://bucket/prefix`. */
  readonly target: string;
  /** When its data was current, in ms since the Unix epoch. */
  readonly createdAt: number;
  readonly bytes: number;
}

/** A backup that was just made. */
export interface NewBackup {
  readonly name: string;
  readonly bytes: number;
  /** Where it is: paths and `s3://…`. */
  readonly places: readonly string[];
  /** Rows of all its tables. */
  readonly rows: number;
  /** Older ones that were let go for it, by name. */
  readonly removed: readonly string[];
}

/** How a backup that was begun in this process is doing, or how the last one ended. */
export interface BackupRun {
  readonly state: 'running' | 'done' | 'failed';
  /** In ms since the Unix epoch; likewise `endedAt`, which is `null` while it runs. */
  readonly startedAt: number;
  readonly endedAt: number | null;
  /** What it is at, in words of `Progress`, and how far, from 0 to 1; `null` where that isn't known. */
  readonly step: string | null;
  readonly share: number | null;
  readonly backup: NewBackup | null;
  /** Why it failed, for people. */
  readonly error: string | null;
}

/** The backups there are, of every place they are kept in. */
export interface BackupList {
  /** Newest first. */
  readonly backups: readonly BackupListing[];
  /** The places that could not be asked, each with why. */
  readonly problems: readonly { readonly target: string; readonly error: string }[];
}

/** Backups of all that Mizan keeps. */
export interface Backups {
  list(): Promise<BackupList>;
  /** The one that runs or ran last in this process; `null` where none has. */
  readonly lastRun: BackupRun | null;
  /**
   * Makes one, on a thread of its own; resolves when it was verified.
   * @param keep How many to keep, where it is not what the configuration says.
   * @param signal Gives it up: what was made so far goes.
   * @throws MizanError `backup_running`, `backup_damaged`, `upstream_error`, `shutting_down`, `internal`.
   */
  create(keep?: number, signal?: AbortSignal): Promise<NewBackup>;
}
