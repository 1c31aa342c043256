/** What people were told, so that the same is not told again by any process. */
export interface Notices {
  /**
   * Notes that `key` is told at `now`.
   * @returns Whether it is to be told: it wasn't within the last `repeatMs`, by anybody.
   */
  claim(key: string, now: number, repeatMs: number): Promise<boolean>;
  /** @returns Whether it had been told. */
  forget(key: string): Promise<boolean>;
}
