/**
 * What the parts of a backup promise each other. An engine knows one kind of database and nothing of files; a target
 * knows a place for files and nothing of what is in them.
 */

export type EngineName = 'sqlite' | 'postgres';

/** What a table holds, so that two copies of it can be compared. */
export interface TableFacts {
  readonly name: string;
  readonly rows: number;
  /** SHA-256, in hex, over all columns of all rows in a fixed order. */
  readonly sha256: string;
}

/** What a database holds. */
export interface DatabaseFacts {
  /** The migrations it has been through, in their order. */
  readonly migrations: readonly string[];
  /** By name. Every table there is, whoever made it. */
  readonly tables: readonly TableFacts[];
}

/** A stream of bytes with a name, of any length. */
export interface Part {
  readonly name: string;
  readonly bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** What is going on, for people to watch. `done` and `total` in the step's own unit; `total` is 0 where unknown. */
export interface Progress {
  readonly step: 'copying' | 'counting' | 'writing' | 'verifying' | 'comparing' | 'uploading' | 'downloading';
  readonly done: number;
  readonly total: number;
}

export type OnProgress = (progress: Progress) => void;

/** A database as of one moment, while others go on writing to it. */
export interface Snapshot {
  readonly facts: DatabaseFacts;
  /** About how much there is, in bytes. */
  readonly bytes: number;
  /** To be read once, in this order. */
  parts(): Iterable<Part> | AsyncIterable<Part>;
  close(): Promise<void>;
}

/** A database that is filled from a backup, beside the one in use. */
export interface Scratch {
  /** Takes one of the parts that a snapshot gave; in the same order. */
  take(part: Part): Promise<void>;
  /**
   * What it holds once all parts are in.
   * @throws MizanError `backup_damaged` where the database itself finds that it isn't sound.
   */
  facts(onProgress: OnProgress): Promise<DatabaseFacts>;
  /**
   * Puts it in the place of the database in use, wholly or, if killed in between, at the next start.
   * @returns Where the data is now that was in use before; `null` where there was none.
   */
  adopt(): Promise<string | null>;
  /** Removes what is left of it. */
  close(): Promise<void>;
}

/** One kind of database. */
export interface BackupEngine {
  readonly name: EngineName;
  /** @param work A folder of this run's own, on the data's own disk. */
  snapshot(work: string, onProgress: OnProgress): Promise<Snapshot>;
  /**
   * @param bytes What the backup's parts have in all.
   * @throws SetupError where there is no room for it.
   */
  scratch(work: string, bytes: number): Promise<Scratch>;
}

/** A backup that lies somewhere. It was verified before it got its name. */
export interface StoredBackup {
  readonly name: string;
  /** When its data was current, in ms since the Unix epoch. */
  readonly createdAt: number;
  readonly bytes: number;
}

/** A place for backups. */
export interface BackupTarget {
  /** As people name it: a folder's path, `s3://bucket/prefix`. */
  readonly label: string;
  readonly kind: 'folder' | 's3';
  /** Newest first. */
  list(): Promise<StoredBackup[]>;
  /** Where to write a file that is to become the backup `name`. What earlier runs left there unfinished is gone. */
  draft(name: string, work: string): Promise<string>;
  /** Makes a whole file a backup, at once: it has its name with all its bytes or not at all. Returns its place. */
  keep(file: string, name: string, onProgress: OnProgress): Promise<string>;
  /** A local path of the backup; in `work`, where it has to be fetched first. */
  bring(name: string, work: string, onProgress: OnProgress): Promise<string>;
  remove(name: string): Promise<void>;
}
