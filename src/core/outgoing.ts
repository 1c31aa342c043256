/** One request to somewhere outside that is no chat: a set of keys, a webhook, a list of models. */
export interface OutgoingRequest {
  /** `http` or `https`, without credentials. */
  readonly url: string;
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Whose word the URL stands on: only what the configuration names may lie on a private network, or what it lists. */
  readonly namedBy: 'config' | 'listed' | 'caller';
  /** The most that is read of the answer's body. */
  readonly maxBytes: number;
  /** From now to the answer's last byte, in ms. */
  readonly deadlineMs: number;
}

export interface OutgoingAnswer {
  /** 2xx, 4xx or 5xx: a redirect is no answer. */
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

/**
 * Asks, through the guard of outgoing connections; no redirect is followed, nothing is tried twice.
 * @throws MizanError `upstream_error`, `upstream_timeout` or `upstream_protocol`; its message names the host and nothing more of the URL.
 */
export type Outgoing = (request: OutgoingRequest) => Promise<OutgoingAnswer>;
