/** What a message is told apart by, and whose it is. */
export interface MessageName {
  /** Among whose messages it comes once: a tenant, or `system` for what anybody may have caught. */
  readonly scope: string;
  readonly jti: string;
  /** Who sent it. */
  readonly tenant: string;
}

/** The encrypted requests that came within their lifetime. */
export interface SeenMessages {
  /**
   * Whether it is the first of that name; from then on it isn't.
   * @param times In ms since the Unix epoch.
   * @throws MizanError `internal` where that can't be remembered, `overloaded` where too much of that tenant's is: then it
   * must not be acted on.
   */
  isFirst(name: MessageName, times: { readonly now: number; readonly expiresAt: number }): boolean;
}
