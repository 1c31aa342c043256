/** One event of a stream (Server-Sent Events, WHATWG HTML §9.2). */
export interface SseEvent {
  /** Its place in the batch's bytes, its blank line included. */
  readonly start: number;
  readonly end: number;
  /** The `data` lines, joined by line feeds; `null` where it has none: a comment or a bare field. */
  readonly data: string | null;
}

/** The whole events that one more piece of a stream completed, and the bytes they lie in. */
export interface SseBatch {
  readonly bytes: Buffer;
  readonly events: readonly SseEvent[];
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/** Reads a stream in whatever pieces it comes. Lines end in LF or CRLF; a lone CR does not end one. */
export class SseReader {
  /** The bytes of an event that isn't complete yet; joined only when a line ends, or a long one would cost its square. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** Where in them the line begins that isn't complete yet. */
  #lineStart = 0;
  #data: string | null = null;

  /** Bytes that are kept because their event isn't complete. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Takes the next piece; the events it completes, or `null` if it completes none. */
  push(piece: Buffer): SseBatch | null {
    const searched = this.#pendingBytes;
    this.#pending.push(piece);
    this.#pendingBytes += piece.length;
    if (!piece.includes(lineFeed)) return null;
    const bytes = searched === 0 ? piece : Buffer.concat(this.#pending);
    const events: SseEvent[] = [];
    let eventStart = 0;
    let lineStart = this.#lineStart;
    for (let at = bytes.indexOf(lineFeed, searched); at !== -1; at = bytes.indexOf(lineFeed, at + 1)) {
      const lineEnd = at > lineStart && bytes[at - 1] === carriageReturn ? at - 1 : at;
      if (lineEnd === lineStart) {
        events.push({ start: eventStart, end: at + 1, data: this.#data });
        this.#data = null;
        eventStart = at + 1;
      } else {
        this.#readLine(bytes, lineStart, lineEnd);
      }
      lineStart = at + 1;
    }
    this.#pending = eventStart === bytes.length ? [] : [bytes.subarray(eventStart)];
    this.#pendingBytes = bytes.length - eventStart;
    this.#lineStart = lineStart - eventStart;
    return events.length === 0 ? null : { bytes: bytes.subarray(0, eventStart), events };
  }

  #readLine(bytes: Buffer, start: number, end: number): void {
    if (bytes[start] !== 0x64 || bytes.toString('latin1', start, start + 4) !== 'data') return;
    let from = start + 4;
    if (from < end) {
      if (bytes[from] !== 0x3a) return;
      from++;
      if (bytes[from] === 0x20) from++;
    }
    const line = bytes.toString('utf8', Math.min(from, end), end);
    this.#data = this.#data === null ? line : `${this.#data}\n${line}`;
  }
}
