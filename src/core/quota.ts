/** What an upstream says is left of a quota, by its rate-limit headers. */
export interface QuotaLeft {
  readonly limit: number;
  readonly remaining: number;
  /** When it is full again, in ms from when it was said; `null` where it isn't said. */
  readonly resetMs: number | null;
}

/** Per kind of quota; `null` where the upstream says nothing. */
export interface Quota {
  readonly requests: QuotaLeft | null;
  readonly tokens: QuotaLeft | null;
}
