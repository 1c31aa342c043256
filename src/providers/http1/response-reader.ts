import type { TransportHeaders } from '../transport.ts';

/** What a response's bytes are taken apart into. */
export interface ResponseSink {
  /** Once, after any interim responses. */
  onHead(status: number, headers: TransportHeaders): void;
  onBody(part: Buffer): void;
  /** The response is complete. @param isReusable Whether the connection may carry another request. */
  onComplete(isReusable: boolean): void;
}

/** Bytes that are no HTTP/1.1 response. The message is for callers: in a few words, and nothing of the bytes. */
export class ResponseError extends Error {
  override readonly name = 'ResponseError';
}

/** All that comes before a body, interim responses included; likewise a chunk's size line, and trailers. In bytes. */
const maxHead = 64 * 1024;
const maxLine = 4 * 1024;

const crlf = Buffer.from('\r\n');
const endOfHead = Buffer.from('\r\n\r\n');
const statusLine = /^HTTP\/1\.([01]) (\d{3})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const notInValues = /[^\t\x20-\x7e\x80-\xff]/;
const chunkSize = /^([0-9A-Fa-f]{1,12})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/;

type State = 'head' | 'length' | 'until-close' | 'size' | 'chunk' | 'chunk-end' | 'trailers' | 'done';

/**
 * Reads one response of a connection (RFC 9112), in whatever pieces it comes. Strict where two readers could take two
 * meanings from the same bytes: line ends are CRLF, a length and a transfer coding exclude each other, and a length
 * is said once. When it is complete it reads no more; after an error it must not be used.
 */
export class ResponseReader {
  readonly #sink: ResponseSink;
  #state: State = 'head';
  /** What came of a line, or of the head, that isn't whole yet. */
  #rest: Buffer | null = null;
  #headBytes = 0;
  /** Bytes of the body, or of the chunk, that are still to come. */
  #left = 0;
  #isReusable = false;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** Whether anything of the response has come. */
  get hasBegun(): boolean {
    return this.#state !== 'head' || this.#rest !== null || this.#headBytes > 0;
  }

  /**
   * @param piece Is of use until this returns; the sink is given parts of it.
   * @throws ResponseError
   */
  push(piece: Buffer): void {
    if (this.#isDone()) return;
    const bytes = this.#rest === null ? piece : Buffer.concat([this.#rest, piece]);
    this.#rest = null;
    let at = 0;
    while (at < bytes.length) {
      const next = this.#read(bytes, at);
      if (next === at) break;
      at = next;
    }
    // Bytes that nobody asked for would be taken for the beginning of the next response.
    if (this.#isDone()) this.#sink.onComplete(this.#isReusable && at === bytes.length);
    else if (at < bytes.length) this.#rest = Buffer.from(bytes.subarray(at));
  }

  /**
   * The connection has ended.
   * @throws ResponseError where the response was not complete by that.
   */
  end(): void {
    if (this.#state !== 'until-close') throw new ResponseError('connection closed without a complete answer');
    this.#state = 'done';
    this.#sink.onComplete(false);
  }

  #isDone(): boolean {
    return this.#state === 'done';
  }

  /** Takes one step and says how far it came; nowhere, where more has to come first. */
  #read(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case 'head':
        return this.#readHead(bytes, at);
      case 'length':
      case 'chunk':
        return this.#readBody(bytes, at);
      case 'until-close':
        this.#sink.onBody(bytes.subarray(at));
        return bytes.length;
      case 'size':
      case 'chunk-end':
      case 'trailers':
        return this.#readLine(bytes, at);
      case 'done':
        return at;
    }
  }

  #readHead(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(endOfHead, at);
    if (this.#headBytes + (end === -1 ? bytes.length : end) - at > maxHead) {
      throw new ResponseError('response headers too large');
    }
    if (end === -1) {
      if (!'HTTP/1.'.startsWith(bytes.toString('latin1', at, Math.min(bytes.length, at + 7)))) throw notHttp();
      return at;
    }
    this.#headBytes += end - at + endOfHead.length;
    this.#onHead(bytes.toString('latin1', at, end).split('\r\n'));
    return end + endOfHead.length;
  }

  #onHead(lines: readonly string[]): void {
    const [, minor, code] = statusLine.exec(lines[0] ?? '') ?? [];
    if (code === undefined) throw notHttp();
    const status = Number(code);
    // Nobody asked to speak another protocol.
    if (status < 100 || status === 101) throw notHttp();
    if (status < 200) return;
    const headers: Record<string, string | string[]> = {};
    for (let i = 1; i < lines.length; i++) addHeader(headers, lines[i] ?? '');
    const connection = wordsOf(headers['connection']);
    this.#isReusable = minor === '1' ? !connection.includes('close') : connection.includes('keep-alive');
    this.#frame(status, headers);
    this.#sink.onHead(status, headers);
    if (this.#state === 'length' && this.#left === 0) this.#state = 'done';
  }

  /** How the body's end is known (RFC 9112 §6.3). */
  #frame(status: number, headers: TransportHeaders): void {
    const coding = headers['transfer-encoding'];
    const length = headers['content-length'];
    if (status === 204 || status === 304) {
      this.#left = 0;
      this.#state = 'length';
    } else if (coding !== undefined) {
      if (length !== undefined || typeof coding !== 'string' || coding.toLowerCase() !== 'chunked') throw notHttp();
      this.#state = 'size';
    } else if (length !== undefined) {
      if (typeof length !== 'string' || !/^\d{1,15}$/.test(length)) throw notHttp();
      this.#left = Number(length);
      this.#state = 'length';
    } else {
      this.#isReusable = false;
      this.#state = 'until-close';
    }
  }

  #readBody(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    this.#sink.onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    if (this.#left === 0) this.#state = this.#state === 'length' ? 'done' : 'chunk-end';
    return end;
  }

  #readLine(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(crlf, at);
    if ((end === -1 ? bytes.length : end) - at > maxLine) throw notHttp();
    if (end === -1) return at;
    this.#onLine(bytes.toString('latin1', at, end));
    return end + crlf.length;
  }

  #onLine(line: string): void {
    if (this.#state === 'size') {
      const size = chunkSize.exec(line)?.[1];
      if (size === undefined) throw notHttp();
      this.#left = Number.parseInt(size, 16);
      this.#state = this.#left === 0 ? 'trailers' : 'chunk';
    } else if (this.#state === 'chunk-end') {
      if (line !== '') throw notHttp();
      this.#state = 'size';
    } else if (line === '') {
      this.#state = 'done';
    } else {
      // Nothing that a trailer says is used.
      this.#headBytes += line.length;
      if (this.#headBytes > maxHead) throw new ResponseError('response headers too large');
      addHeader({}, line);
    }
  }
}

const notHttp = (): ResponseError => new ResponseError('not an HTTP answer');

function addHeader(headers: Record<string, string | string[]>, line: string): void {
  const colon = line.indexOf(':');
  const name = line.slice(0, colon);
  if (colon === -1 || !token.test(name)) throw notHttp();
  let from = colon + 1;
  let to = line.length;
  while (from < to && isBlank(line.charCodeAt(from))) from++;
  while (to > from && isBlank(line.charCodeAt(to - 1))) to--;
  const value = line.slice(from, to);
  if (notInValues.test(value)) throw notHttp();
  const key = name.toLowerCase();
  if (key === '__proto__') return;
  const earlier = Object.hasOwn(headers, key) ? headers[key] : undefined;
  if (earlier === undefined) headers[key] = value;
  else if (typeof earlier === 'string') headers[key] = [earlier, value];
  else earlier.push(value);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function wordsOf(value: string | readonly string[] | undefined): string[] {
  if (value === undefined) return [];
  return (typeof value === 'string' ? value : value.join(',')).split(',').map((word) => word.trim().toLowerCase());
}
