/** One HTTP request to an upstream: a POST of JSON, or a GET without a body. */
export interface TransportRequest {
  /** POST where it is absent. */
  readonly method?: 'GET' | 'POST';
  /** From the origin's root, with the base URL's own path: `/v1/chat/completions`. */
  readonly path: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly connectTimeoutMs: number;
}

/** Exactly one of `onEnd` and `onError` is the last call; after `abort()` there is none. */
export interface TransportHandler {
  onHead(status: number, headers: TransportHeaders): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  onError(error: TransportError): void;
}

/** Lower-case names. */
export type TransportHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

export interface TransportError {
  readonly phase: 'connect' | 'head' | 'body';
  readonly timedOut: boolean;
  /** The guard of outgoing connections refused it: nothing was sent, and no upstream was asked. */
  readonly isForbidden?: boolean;
  /** In a few words, without addresses or secrets: `connection refused`. */
  readonly reason: string;
  readonly cause: unknown;
}

export interface Exchange {
  abort(): void;
  pause(): void;
  resume(): void;
}

/** How requests reach an upstream: over the network, or into the simulator in this process. */
export interface Transport {
  send(request: TransportRequest, handler: TransportHandler): Exchange;
  close(): Promise<void>;
}
