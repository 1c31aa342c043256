import type { Socket } from 'node:net';
import type { buildConnector } from 'undici';
import { EgressGuard } from '../egress/guard.ts';
import { Connection, reading } from './http1/connection.ts';
import type { ConnectionUser } from './http1/connection.ts';
import { requestHead } from './http1/request-head.ts';
import { ResponseError } from './http1/response-reader.ts';
import type {
  Exchange,
  Transport,
  TransportError,
  TransportHandler,
  TransportHeaders,
  TransportRequest,
} from './transport.ts';

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection closed while sending',
  ENOTFOUND: 'host name not found',
  EAI_AGAIN: 'host name could not be looked up',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ETIMEDOUT: 'connection timed out',
  ERR_FORBIDDEN_ADDRESS: 'an address that is not allowed',
  ERR_INVALID_CHAR: 'a header or path that can not be sent',
};

/**
 * No connection takes longer to be made, whatever the deadline of the request that began it, in ms: one that is never
 * made would stay for ever, once for each request that gave it up.
 */
const maxConnectMs = 60_000;

/** How long a connection is kept that nobody uses, in ms; and how many. Upstreams close theirs after 5 s and more. */
const maxIdleMs = 4000;
const maxIdle = 1024;

/** Makes connections: TCP, or TLS for `https:`. */
export type Connector = buildConnector.connector;

/**
 * HTTP/1.1 over kept-alive connections. No deadline of its own but the connection's: the flow owns time.
 * A request whose kept-alive connection was closed under it, before any byte of an answer, is sent once more on a
 * new connection: that is a stale connection, not a failing upstream. One that a new connection did not answer is not.
 */
export class HttpTransport implements Transport {
  readonly #origin: URL;
  readonly #connect: Connector;
  readonly #open = new Set<Connection>();
  /** Those that carry nothing; the one that was of use last is the next one. */
  readonly #idle: Connection[] = [];
  #sweeper: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** @param origin Scheme, host and port: `https://openrouter.ai`. */
  constructor(origin: string, connectLimitMs: number = maxConnectMs, guard: EgressGuard = new EgressGuard()) {
    this.#origin = new URL(origin);
    this.#connect = guard.connector({ origin, namedBy: 'config', timeoutMs: connectLimitMs, onread: reading });
  }

  send(request: TransportRequest, handler: TransportHandler): Exchange {
    const exchange = new HttpExchange(request, handler, this);
    exchange.start(this.#take());
    return exchange;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#sweeper);
    for (const connection of this.#open) connection.cut();
  }

  get host(): string {
    return this.#origin.host;
  }

  /** Makes a connection; it is told of once, and closed by the transport where nobody takes it. */
  connect(done: (...[error, connection]: [Error, null] | [null, Connection]) => void): void {
    const { protocol, hostname, port } = this.#origin;
    if (this.#isClosed) {
      process.nextTick(() => done(new ResponseError('closed here'), null));
      return;
    }
    this.#connect({ protocol, hostname: hostname.replace(/^\[|\]$/g, ''), host: hostname, port }, (error, socket) => {
      if (error === null) done(null, this.#opened(socket));
      else done(error, null);
    });
  }

  #opened(socket: Socket): Connection {
    const connection = new Connection(socket, { free: this.keep, closed: (gone) => this.#open.delete(gone) });
    this.#open.add(connection);
    if (this.#isClosed) connection.cut();
    return connection;
  }

  /** Keeps a connection for the next request. */
  readonly keep = (connection: Connection): void => {
    if (this.#isClosed || this.#idle.length >= maxIdle) {
      connection.cut();
      return;
    }
    connection.idleSince = performance.now();
    this.#idle.push(connection);
    this.#sweeper ??= setInterval(this.#sweep, maxIdleMs / 4).unref();
  };

  #take(): Connection | null {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined) return null;
      if (connection.isOpen) return connection;
    }
  }

  /** They lie in the order in which they became idle. */
  readonly #sweep = (): void => {
    const oldest = performance.now() - maxIdleMs;
    const young = this.#idle.findIndex(({ idleSince }) => idleSince > oldest);
    for (const connection of this.#idle.splice(0, young === -1 ? this.#idle.length : young)) connection.cut();
    if (this.#idle.length > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  };
}

class HttpExchange implements Exchange, ConnectionUser {
  readonly #request: TransportRequest;
  readonly #handler: TransportHandler;
  readonly #transport: HttpTransport;
  #phase: TransportError['phase'] = 'connect';
  #connectTimer: NodeJS.Timeout | undefined;
  #connection: Connection | null = null;
  #isOver = false;

  constructor(request: TransportRequest, handler: TransportHandler, transport: HttpTransport) {
    this.#request = request;
    this.#handler = handler;
    this.#transport = transport;
  }

  /** @param connection One that is kept; `null` for a new one. */
  start(connection: Connection | null): void {
    if (connection !== null) {
      this.#sendOn(connection);
      return;
    }
    this.#connectTimer = setTimeout(() => this.#connectTimedOut(), this.#request.connectTimeoutMs);
    this.#transport.connect((error, made) => {
      clearTimeout(this.#connectTimer);
      if (this.#isOver) {
        if (made !== null) this.#transport.keep(made);
      } else if (made === null) {
        if (codeOf(error) === 'UND_ERR_CONNECT_TIMEOUT') this.#connectTimedOut();
        else this.#fail(error ?? new ResponseError('connection failed'));
      } else {
        this.#sendOn(made);
      }
    });
  }

  abort(): void {
    const connection = this.#connection;
    this.#finish();
    connection?.destroy();
  }

  pause(): void {
    this.#connection?.pause();
  }

  resume(): void {
    this.#connection?.resume();
  }

  onHead(status: number, headers: TransportHeaders): void {
    this.#phase = 'body';
    this.#handler.onHead(status, headers);
  }

  onBody(part: Buffer): void {
    this.#handler.onData(part);
  }

  onComplete(): void {
    this.#finish();
    this.#handler.onEnd();
  }

  onBroken(error: Error, hasBegun: boolean): void {
    const isStale = this.#connection?.isReused === true && !hasBegun && !this.#isOver;
    this.#connection = null;
    if (isStale) {
      this.#phase = 'connect';
      this.start(null);
    } else {
      this.#fail(error);
    }
  }

  #sendOn(connection: Connection): void {
    const { method, path, headers, body } = this.#request;
    let head: string;
    try {
      head = requestHead({ method, host: this.#transport.host, path, headers, contentLength: body.length });
    } catch (error) {
      this.#transport.keep(connection);
      this.#fail(error as Error);
      return;
    }
    this.#connection = connection;
    this.#phase = 'head';
    connection.send(head, body, this);
  }

  #fail(error: Error): void {
    const phase = this.#phase;
    this.#finish();
    const isForbidden = codeOf(error) === 'ERR_FORBIDDEN_ADDRESS';
    this.#handler.onError({ phase, timedOut: false, isForbidden, reason: reasonOf(error), cause: error });
  }

  #connectTimedOut(): void {
    if (this.#isOver || this.#phase !== 'connect') return;
    this.#finish();
    this.#handler.onError({ phase: 'connect', timedOut: true, reason: 'no connection in time', cause: undefined });
  }

  /** Its connection is somebody else's from here on. */
  #finish(): void {
    this.#isOver = true;
    this.#connection = null;
    clearTimeout(this.#connectTimer);
  }
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function reasonOf(error: Error): string {
  if (error instanceof ResponseError) return error.message;
  const code = codeOf(error);
  if (code.startsWith('ERR_TLS') || code.startsWith('CERT_')) return 'TLS refused';
  return reasons[code] ?? 'connection failed';
}
