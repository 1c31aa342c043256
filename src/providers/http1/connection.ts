import type { OnReadOpts, Socket } from 'node:net';
import { HeldWrites } from '../../core/held-writes.ts';
import type { TransportHeaders } from '../transport.ts';
import type { ResponseSink } from './response-reader.ts';
import { ResponseError, ResponseReader } from './response-reader.ts';

/** Whose request a connection carries. Exactly one of `onComplete` and `onBroken` is the last call. */
export interface ConnectionUser {
  onHead(status: number, headers: TransportHeaders): void;
  onBody(part: Buffer): void;
  onComplete(): void;
  /** @param hasBegun Whether some of the response had come. */
  onBroken(error: Error, hasBegun: boolean): void;
}

/** Those of all connections that are sent in one turn of the event loop. */
const requests = new HeldWrites();

/** By their sockets. */
const connections = new WeakMap<object, Connection>();

/**
 * The `onread` of `net.connect` and `tls.connect` for sockets of connections: all read into the same memory, one after
 * another, where a stream takes 64 KiB anew for every read.
 */
export const reading: OnReadOpts = {
  buffer: Buffer.allocUnsafeSlow(64 * 1024),
  callback: function (this: unknown, length: number, memory: Uint8Array): boolean {
    const connection = connections.get(this as Socket);
    if (connection === undefined) (this as Socket).destroy();
    else connection.read(Buffer.from(memory.buffer, memory.byteOffset, length));
    return true;
  },
};

/** Bodies up to this size go out in one piece with their head, in bytes: a copy costs less than a second write. */
const maxCopied = 16 * 1024;

/**
 * One connection to an upstream, for one request at a time (no pipelining). Whatever comes while nobody has asked for
 * anything closes it: it could be taken for the answer to the next request.
 */
export class Connection implements ResponseSink {
  readonly #socket: Socket;
  readonly #onFree: (connection: Connection) => void;
  readonly #onClosed: (connection: Connection) => void;
  #user: ConnectionUser | null = null;
  #reader: ResponseReader | null = null;
  #error: Error | null = null;
  #served = 0;
  /** Since when it carries nothing, on the monotonic clock, in ms. */
  idleSince = 0;

  constructor(
    socket: Socket,
    events: {
      /** It may carry another request. */
      readonly free: (connection: Connection) => void;
      readonly closed: (connection: Connection) => void;
    },
  ) {
    this.#socket = socket;
    this.#onFree = events.free;
    this.#onClosed = events.closed;
    socket.setNoDelay(true);
    connections.set(socket, this);
    // Of a socket without `reading`; with it, this lets it read.
    socket.on('data', (piece: Buffer) => this.read(piece));
    socket.on('end', this.#onEnd);
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('close', this.#onClose);
  }

  /** Whether it can still carry a request, as far as this end knows. */
  get isOpen(): boolean {
    return this.#socket.writable && !this.#socket.readableEnded && !this.#socket.destroyed;
  }

  /** Whether it had carried another request before this one: then the upstream may have closed it in between. */
  get isReused(): boolean {
    return this.#served > 1;
  }

  /** @param head The request line and the headers, with the blank line that ends them; latin1. */
  send(head: string, body: Buffer, user: ConnectionUser): void {
    this.#user = user;
    this.#reader = new ResponseReader(this);
    this.#served++;
    requests.hold(this.#socket);
    if (body.length > maxCopied) {
      this.#socket.write(head, 'latin1');
      this.#socket.write(body);
      return;
    }
    // Byte for byte the same, and as a text it needs no memory outside of the heap.
    this.#socket.write(head + body.toString('latin1'), 'latin1');
  }

  /** @param piece Is of use until this returns. */
  read(piece: Buffer): void {
    try {
      // Before a request has gone out there is nothing to answer.
      if (this.#reader === null || this.#socket.writableCorked > 0) this.#socket.destroy();
      else this.#reader.push(piece);
    } catch (error) {
      this.#failed(error);
    }
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Closes it at once; its user hears nothing more. */
  destroy(): void {
    this.#user = null;
    this.#socket.destroy();
  }

  /** Closes it at once, and its user is told. */
  cut(): void {
    this.#socket.destroy();
    this.#break(closed());
  }

  onHead(status: number, headers: TransportHeaders): void {
    this.#user?.onHead(status, headers);
  }

  onBody(part: Buffer): void {
    // What is read next comes into the same memory.
    this.#user?.onBody(Buffer.from(part));
  }

  onComplete(isReusable: boolean): void {
    const user = this.#user;
    this.#user = null;
    this.#reader = null;
    // It may have come to its end while it was paused, and the next one was not.
    if (this.#socket.isPaused()) this.#socket.resume();
    // A response that came before its request was sent out leaves the rest of the request in the way of the next one.
    if (isReusable && user !== null && this.#socket.writableLength === 0 && this.isOpen) this.#onFree(this);
    else this.#socket.destroy();
    user?.onComplete();
  }

  readonly #onEnd = (): void => {
    try {
      this.#reader?.end();
    } catch (error) {
      this.#failed(error);
    }
  };

  readonly #onClose = (): void => {
    this.#break(this.#error ?? closed());
    this.#onClosed(this);
  };

  #failed(error: unknown): void {
    if (!(error instanceof ResponseError)) throw error;
    this.#socket.destroy();
    this.#break(error);
  }

  #break(error: Error): void {
    const user = this.#user;
    const hasBegun = this.#reader?.hasBegun ?? false;
    this.#user = null;
    this.#reader = null;
    user?.onBroken(error, hasBegun);
  }
}

function closed(): Error {
  return new ResponseError('connection closed without a complete answer');
}
