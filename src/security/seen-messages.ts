/** The encrypted requests that came within their lifetime. */
export interface SeenMessages {
  /**
   * Whether it is the first of that name; from then on it isn't.
   * @param times In ms since the Unix epoch.
   * @throws MizanError `internal` where that can't be remembered, `overloaded` where too much is: then it must not be
   * acted on.
   */
  isFirst(tenant: string, jti: string, times: { readonly now: number; readonly expiresAt: number }): boolean;
}
