import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { joined, MessageReader } from '../http1.ts';

export interface Reply {
  readonly status: number;
  readonly body: Buffer;
}

/** What happens to one request. Exactly one of `done` and `failed` is called, unless it is aborted. */
export interface Exchange {
  firstByte(): void;
  /** After each piece of the body. */
  progress(pieces: number): void;
  done(reply: Reply): void;
  failed(why: string): void;
}

/** One keep-alive connection that carries one request at a time, and connects when it has to. */
export class Connection {
  readonly #port: number;
  #socket: Socket | null = null;
  #exchange: Exchange | null = null;
  #status = 0;
  #isLast = false;
  #pieces: Buffer[] = [];

  constructor(port: number) {
    this.#port = port;
  }

  send(request: Buffer, exchange: Exchange): void {
    this.#exchange = exchange;
    this.#pieces = [];
    this.#socket ??= this.#connect();
    this.#socket.write(request);
  }

  /** Leaves, in the middle of an answer or not. */
  abort(): void {
    this.#exchange = null;
    this.#socket?.destroy();
    this.#socket = null;
  }

  #connect(): Socket {
    const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true });
    const reader = new MessageReader('responses', {
      head: (head) => {
        this.#status = Number(head.slice(9, 12));
        this.#isLast = /\r\nconnection: *close\r\n/i.test(head);
      },
      // What is left of an answer that was just aborted must not run into the next.
      body: (bytes) => {
        if (this.#socket === socket) this.#body(bytes);
      },
      end: () => {
        if (this.#socket === socket) this.#end();
      },
    });
    let error = 'the connection was closed in the middle of an answer';
    socket.on('data', (bytes) => {
      if (this.#socket !== socket || !Buffer.isBuffer(bytes)) return;
      try {
        reader.push(bytes);
      } catch (cause) {
        socket.destroy(new Error('the answer is not HTTP', { cause }));
      }
    });
    socket.on('error', (cause) => (error = cause.message));
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      reader.close();
      this.#socket = null;
      const exchange = this.#exchange;
      this.#exchange = null;
      exchange?.failed(error);
    });
    return socket;
  }

  #body(bytes: Buffer): void {
    if (this.#pieces.push(bytes) === 1) this.#exchange?.firstByte();
    this.#exchange?.progress(this.#pieces.length);
  }

  #end(): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    if (this.#isLast) this.abort();
    exchange?.done({ status: this.#status, body: joined(this.#pieces) });
  }
}
