import type { Dispatcher } from 'undici';
import { Pool } from 'undici';
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
 * HTTP/1.1 over kept-alive connections (undici). No deadline of its own but the connection's: the flow owns time.
 * A request whose kept-alive connection was closed under it, before any byte of an answer, is sent once more on a
 * new connection: that is a stale connection, not a failing upstream.
 */
export class HttpTransport implements Transport {
  readonly #pool: Pool;
  readonly #fresh: Pool;

  /** @param origin Scheme, host and port: `https://openrouter.ai`. */
  constructor(origin: string) {
    const options = { headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 0 }, allowH2: false } as const;
    this.#pool = new Pool(origin, { ...options, pipelining: 1 });
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

class HttpExchange implements Exchange, Dispatcher.DispatchHandler {
  readonly #request: TransportRequest;
  readonly #handler: TransportHandler;
  readonly #fresh: Pool;
  #controller: Dispatcher.DispatchController | null = null;
  #phase: TransportError['phase'] = 'connect';
  #connectTimer: NodeJS.Timeout | undefined;
  #isOver = false;
  #isFresh = false;

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
    if (this.#phase === 'head' && !this.#isFresh && closedCodes.has(codeOf(error))) {
      this.#isFresh = true;
      this.#phase = 'connect';
      this.#controller = null;
      this.start(this.#fresh);
      return;
    }
    const phase = this.#phase;
    this.#finish();
    this.#handler.onError({ phase, timedOut: false, reason: reasonOf(error), cause: error });
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
  return reasons[code] ?? (code.startsWith('HPE_') ? 'not an HTTP answer' : code.startsWith('ERR_TLS') || code.startsWith('CERT_') ? 'TLS refused' : 'connection failed');
}
