import { chunkMark, chunksPerStream } from '../upstream/answers.ts';
import { blankTicket, writeTicket } from '../ticket.ts';
import type { Reply } from './connection.ts';
import type { Door } from './plan.ts';

/** The bytes of one connection's requests: written once, only the ticket changes. */
export class RequestBytes {
  readonly #bytes: Buffer;
  readonly #ticketAt: number;

  constructor(door: Door, stream: boolean) {
    const body = stream ? door.body.replace('"stream":false', '"stream":true') : door.body;
    const headers = {
      host: `127.0.0.1:${door.port}`,
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
      ...door.headers,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#bytes = Buffer.from(`POST ${door.path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
    this.#ticketAt = this.#bytes.indexOf(blankTicket);
  }

  /** Valid until the next call: by then the answer is there, so the request has long been sent. */
  with(number: string, paceMs: number): Buffer {
    writeTicket(this.#bytes, this.#ticketAt, number, paceMs);
    return this.#bytes;
  }
}

function count(body: Buffer, mark: string): number {
  let found = 0;
  for (let at = body.indexOf(mark); at !== -1; at = body.indexOf(mark, at + mark.length)) found++;
  return found;
}

/** What is wrong with a reply to request `number`; `null` if it is just right. */
export function faultOf(reply: Reply, number: string, streamEnd: string | null): string | null {
  const { status, body } = reply;
  if (status !== 200) return `status ${status}: ${body.toString('utf8', 0, 300)}`;
  if (!body.includes(number)) return `not the answer to ${number}: ${body.toString('utf8', 0, 300)}`;
  if (streamEnd === null) return body.at(-1) === 0x7d ? null : `cut short: ${body.toString('utf8').slice(-80)}`;
  if (!body.includes(streamEnd)) return `no end: ${body.toString('utf8').slice(-300)}`;
  const chunks = count(body, chunkMark);
  return chunks === chunksPerStream - 1 ? null : `${chunks} of ${chunksPerStream - 1} chunks with text`;
}
