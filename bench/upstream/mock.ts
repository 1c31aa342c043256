import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { joined, MessageReader } from '../http1.ts';
import { readTicket } from '../ticket.ts';
import { chunksPerStream, completion, models, stream } from './answers.ts';
import type { UpstreamCounters } from './upstream.ts';

// The upstream of every contestant, as a process of its own: it answers at once and does as little as it can.

const counters = { requests: 0, streams: 0, streamsOpen: 0, streamsAborted: 0, latestAbort: 0, openConnections: 0 };

class Answerer {
  readonly #socket: Socket;
  readonly #reader: MessageReader;
  #isGet = false;
  #body: Buffer[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sent = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#reader = new MessageReader('requests', {
      head: (head) => (this.#isGet = head.startsWith('GET ')),
      body: (bytes) => this.#body.push(bytes),
      end: () => this.#answer(),
    });
  }

  /** Pieces of a body stay valid: the socket never reuses the memory it hands out. */
  push(bytes: Buffer): void {
    this.#reader.push(bytes);
  }

  closed(): void {
    if (this.#timer === undefined) return;
    counters.streamsOpen--;
    counters.streamsAborted++;
    counters.latestAbort = Math.max(counters.latestAbort, this.#sent);
    clearTimeout(this.#timer);
  }

  #answer(): void {
    const body = joined(this.#body);
    this.#body = [];
    if (this.#isGet) {
      this.#socket.write(models);
      return;
    }
    counters.requests++;
    const ticket = readTicket(body);
    const number = ticket?.number ?? '';
    if (!body.includes('"stream":true')) {
      this.#socket.write(completion.for(number));
      return;
    }
    counters.streams++;
    const wantsUsage = body.includes('"include_usage":true');
    if (ticket === null || ticket.paceMs === 0) {
      this.#socket.write((wantsUsage ? stream.wholeWithUsage : stream.whole).for(number));
      return;
    }
    this.#socket.write(stream.first.for(number));
    counters.streamsOpen++;
    this.#sent = 1;
    this.#pace(ticket.paceMs, wantsUsage ? stream.lastWithUsage : stream.last);
  }

  /** Sends the chunks that are left, one at a time. */
  #pace(paceMs: number, last: Buffer): void {
    this.#timer = setTimeout(() => {
      if (this.#sent === chunksPerStream - 1) {
        this.#timer = undefined;
        counters.streamsOpen--;
        this.#socket.write(last);
        return;
      }
      this.#socket.write(stream.middle);
      this.#sent++;
      this.#pace(paceMs, last);
    }, paceMs);
  }
}

const server = createServer({ noDelay: true }, (socket) => {
  counters.openConnections++;
  const answerer = new Answerer(socket);
  socket.on('data', (bytes) => {
    if (Buffer.isBuffer(bytes)) answerer.push(bytes);
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    counters.openConnections--;
    answerer.closed();
  });
});

process.on('message', () => process.send?.({ ...counters } satisfies UpstreamCounters));
process.on('disconnect', () => process.exit(0));
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) process.send?.({ port: address.port });
});
