/** How long is kept what, in days. */
export interface Retention {
  readonly log: number;
  readonly payloads: number;
  /** Sums per hour and day; those per minute go with the log. */
  readonly rollups: number;
}

/** What was removed because its time was over. */
export interface Removed {
  /** Rows; on PostgreSQL, where partitions are dropped whole, days of them. */
  readonly requests: number;
  readonly payloads: number;
  readonly rollups: number;
  /** What the file is smaller by, in bytes; `null` where the database doesn't say. */
  readonly freedBytes: number | null;
}

/** Is told how many rows have gone, of about how many. */
export type OnRemoving = (done: number, total: number) => void;
