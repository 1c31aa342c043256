import type { Dispatcher } from 'undici';
import { Client, Pool } from 'undici';
import type { Exchange, Transport, TransportError, TransportHandler, TransportRequest } from './transport.ts';

/** What undici and Node say when a connection ended without an answer. */
const closedCodes: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'ECONNABORTED']);

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection closed while sending',
  ENOTFOUND: 'host name not found',
  EAI_AGAIN: 'host name could not be looked up',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ETIMEDOUT: 'connection timed out',
  UND_ERR_SOCKET: 'connection closed without a complete answer',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'answer shorter or longer than announced',
  UND_ERR_HEADERS_OVERFLOW: 'response headers too large',
};

/**
 * No connection takes longer to be made, whatever the deadline of the request that began it, in ms: one that is never
 * made would stay for ever, once for each request that gave it up.
 */
const maxConnectMs = 60_000;

/**
 * HTTP/1.1 over kept-alive connections (undici). No deadline of its own but the connection's: the flow owns time.
 * A request whose kept-alive connection was closed under it, before any byte of an answer, is sent once more on a
 * new connection: that is a stale connection, not a failing upstream. One that a new connection did not answer is not.
 */
export class HttpTransport implements Transport {
  readonly #pool: Pool;
  readonly #fresh: Pool;

  /** @param origin Scheme, host and port: `https://openrouter.ai`. */
  constructor(origin: string, connectLimitMs: number = maxConnectMs) {
    const options = {
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: connectLimitMs },
      allowH2: false,
    } as const;
    const factory = (url: URL, clientOptions: object): Client => new KeptClient(url, clientOptions);
    this.#pool = new Pool(origin, { ...options, pipelining: 1, factory });
    this.#fresh = new Pool(origin, { ...options, pipelining: 0 });
  }

  send(request: TransportRequest, handler: TransportHandler): Exchange {
    const exchange = new HttpExchange(request, handler, this.#fresh);
    exchange.start(this.#pool);
    return exchange;
  }

  async close(): Promise<void> {
    await Promise.all([this.#pool.destroy(), this.#fresh.destroy()]);
  }
}

/** One connection of the pool at a time. */
class KeptClient extends Client {
  #isConnected = false;
  #hasServed = false;

  constructor(origin: URL, options: Client.Options) {
    super(origin, options);
    this.on('connect', () => {
      this.#isConnected = true;
      this.#hasServed = false;
    });
    this.on('disconnect', () => {
      this.#isConnected = false;
    });
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    if (handler instanceof HttpExchange) handler.takenBy(this);
    return super.dispatch(options, handler);
  }

  /** Whether there is a connection, if only one that is just breaking. */
  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** A request begins. Whether the connection has carried one before. */
  serve(): boolean {
    const hasServed = this.#hasServed;
    this.#hasServed = true;
    return hasServed;
  }
}

class HttpExchange implements Exchange, Dispatcher.DispatchHandler {
  readonly #request: TransportRequest;
  readonly #handler: TransportHandler;
  readonly #fresh: Pool;
  #controller: Dispatcher.DispatchController | null = null;
  #phase: TransportError['phase'] = 'connect';
  #connectTimer: NodeJS.Timeout | undefined;
  #isOver = false;
  /** `null` on a connection that is made for this request alone. */
  #client: KeptClient | null = null;
  #isReused = false;

  constructor(request: TransportRequest, handler: TransportHandler, fresh: Pool) {
    this.#request = request;
    this.#handler = handler;
    this.#fresh = fresh;
  }

  start(pool: Pool): void {
    const { path, headers, body } = this.#request;
    pool.dispatch({ path, method: 'POST', headers, body }, this);
    if (this.#phase === 'connect' && !this.#isOver) {
      this.#connectTimer = setTimeout(() => this.#connectTimedOut(), this.#request.connectTimeoutMs);
    }
  }

  takenBy(client: KeptClient): void {
    this.#client = client;
  }

  abort(): void {
    if (this.#isOver) return;
    this.#finish();
    this.#controller?.abort(new Error('cancelled'));
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    clearTimeout(this.#connectTimer);
    if (this.#isOver) {
      controller.abort(new Error('cancelled'));
      return;
    }
    this.#controller = controller;
    this.#isReused = this.#client?.serve() ?? false;
    this.#phase = 'head';
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (this.#isOver || status < 200) return;
    this.#phase = 'body';
    this.#handler.onHead(status, headers);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#isOver) this.#handler.onData(chunk);
  }

  onResponseEnd(): void {
    if (this.#isOver) return;
    this.#finish();
    this.#handler.onEnd();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#isOver) return;
    if (closedCodes.has(codeOf(error)) && this.#isStale()) {
      clearTimeout(this.#connectTimer);
      this.#client = null;
      this.#phase = 'connect';
      this.#controller = null;
      this.start(this.#fresh);
      return;
    }
    if (codeOf(error) === 'UND_ERR_CONNECT_TIMEOUT') {
      this.#connectTimedOut();
      return;
    }
    const phase = this.#phase;
    this.#finish();
    this.#handler.onError({ phase, timedOut: false, reason: reasonOf(error), cause: error });
  }

  /** Whether a connection that broke now was one kept from before, and the request got nowhere on it. */
  #isStale(): boolean {
    if (this.#phase === 'connect') return this.#client?.isConnected ?? false;
    return this.#phase === 'head' && this.#isReused;
  }

  #connectTimedOut(): void {
    if (this.#isOver || this.#phase !== 'connect') return;
    this.#finish();
    this.#handler.onError({ phase: 'connect', timedOut: true, reason: 'no connection in time', cause: undefined });
  }

  #finish(): void {
    this.#isOver = true;
    clearTimeout(this.#connectTimer);
  }
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function reasonOf(error: Error): string {
  const code = codeOf(error);
  if (error.name === 'HTTPParserError') return 'not an HTTP answer';
  if (code.startsWith('ERR_TLS') || code.startsWith('CERT_')) return 'TLS refused';
  return reasons[code] ?? 'connection failed';
}
