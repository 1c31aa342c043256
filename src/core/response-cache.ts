/** What a clean-up of kept answers gave back. */
export interface Cleaned {
  readonly entries: number;
  readonly bytes: number;
}

/** Whatever keeps answers, as far as the clock has to do with it. */
export interface CacheCleaner {
  /** Lets go of everything whose time is over. */
  cleanup(signal: AbortSignal): Promise<Cleaned>;
}
