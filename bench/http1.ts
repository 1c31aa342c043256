/** What a reader says of one message, in this order: `head` once, `body` any number of times, `end` once. */
export interface MessageEvents {
  /** The start line and the header lines, each ended by CRLF. */
  head(head: string): void;
  /** A piece of the body, out of its chunked coding. A view into the bytes that were pushed: not to be kept. */
  body(bytes: Buffer): void;
  end(): void;
}

const none = Buffer.alloc(0);

type State = 'head' | 'sized' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailer' | 'until-close';

/** The pieces as one, without a copy where there is but one. */
export function joined(pieces: readonly Buffer[]): Buffer {
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
}

/**
 * Takes HTTP/1.1 messages (RFC 9112) out of one direction of a connection. Just enough for a mock and a load
 * generator whose peers are known and well behaved, and several times cheaper than `node:http`, so that on a small
 * machine they leave the processor to the gateway under test.
 */
export class MessageReader {
  readonly #events: MessageEvents;
  readonly #of: 'requests' | 'responses';
  #state: State = 'head';
  #rest: Buffer = none;
  #remaining = 0;

  constructor(of: 'requests' | 'responses', events: MessageEvents) {
    this.#of = of;
    this.#events = events;
  }

  /** Whether the connection stands between two messages. */
  get isIdle(): boolean {
    return this.#state === 'head' && this.#rest.length === 0;
  }

  push(bytes: Buffer): void {
    const buffer = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    while (at < buffer.length) {
      const next = this.#step(buffer, at);
      if (next === at) break;
      at = next;
    }
    this.#rest = at === buffer.length ? none : buffer.subarray(at);
  }

  /** The connection has ended; a body without a length is complete with that. */
  close(): void {
    if (this.#state === 'until-close') this.#finish();
  }

  /** Where the next step begins; the same place if it takes more bytes. */
  #step(buffer: Buffer, at: number): number {
    switch (this.#state) {
      case 'head':
        return this.#head(buffer, at);
      case 'sized':
        return this.#take(buffer, at, 'head');
      case 'chunk':
        return this.#take(buffer, at, 'chunk-end');
      case 'chunk-size': {
        const end = buffer.indexOf('\r\n', at);
        if (end === -1) return at;
        this.#remaining = Number.parseInt(buffer.toString('latin1', at, end), 16);
        if (Number.isNaN(this.#remaining)) throw new Error('A chunk without a size.');
        this.#state = this.#remaining === 0 ? 'trailer' : 'chunk';
        return end + 2;
      }
      case 'chunk-end':
        if (buffer.length < at + 2) return at;
        this.#state = 'chunk-size';
        return at + 2;
      case 'trailer': {
        const end = buffer.indexOf('\r\n', at);
        if (end === -1) return at;
        if (end === at) this.#finish();
        return end + 2;
      }
      case 'until-close':
        break;
    }
    this.#events.body(buffer.subarray(at));
    return buffer.length;
  }

  #head(buffer: Buffer, at: number): number {
    const end = buffer.indexOf('\r\n\r\n', at);
    if (end === -1) return at;
    const head = buffer.toString('latin1', at, end + 2);
    this.#events.head(head);
    if (/\r\ntransfer-encoding: *chunked\r\n/i.test(head)) {
      this.#state = 'chunk-size';
      return end + 4;
    }
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
    if (length === undefined && this.#of === 'responses') {
      this.#state = 'until-close';
      return end + 4;
    }
    this.#remaining = Number(length ?? 0);
    this.#state = 'sized';
    if (this.#remaining === 0) this.#finish();
    return end + 4;
  }

  #take(buffer: Buffer, at: number, next: State): number {
    const end = Math.min(buffer.length, at + this.#remaining);
    this.#remaining -= end - at;
    this.#events.body(buffer.subarray(at, end));
    if (this.#remaining > 0) return end;
    if (next === 'head') this.#finish();
    else this.#state = next;
    return end;
  }

  #finish(): void {
    this.#state = 'head';
    this.#events.end();
  }
}
