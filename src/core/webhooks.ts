/** What is told to somebody outside. */
export interface WebhookMessage {
  /** The same for every try to tell the same. */
  readonly id: string;
  /** `job.output`, `job.failed`, `job.late`, `job.recovered` or `budget.alert`. */
  readonly type: string;
  /** In words, for a chat. */
  readonly text: string;
  /** For programs. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** Posts to a webhook of the configuration. @throws MizanError where it was not taken, after the last try. */
export type PostWebhook = (webhook: string, message: WebhookMessage, signal: AbortSignal) => Promise<void>;
