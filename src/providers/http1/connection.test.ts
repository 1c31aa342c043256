import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { Duplex } from 'node:stream';
import { expect, onTestFinished, test } from 'vitest';
import { Connection, reading } from './connection.ts';

const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK';

/** A connection, the bytes that it sends, and what its user is told. */
function connection() {
  const sent: string[] = [];
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      sent.push(chunk.toString());
      done();
    },
  });
  const told: string[] = [];
  const made = new Connection(Object.assign(socket, { setNoDelay() {} }) as unknown as Socket, {
    free: () => told.push('free'),
    closed: () => told.push('closed'),
  });
  const ask = (): void =>
    made.send('POST / HTTP/1.1\r\n\r\n', Buffer.from('{}'), {
      onHead: (status) => told.push(`head ${status}`),
      onBody: (part) => told.push(`body ${part.toString()}`),
      onComplete: () => told.push('complete'),
      onBroken: (_error, hasBegun) => told.push(`broken, begun: ${hasBegun}`),
    });
  return { socket, sent, told, ask };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what comes in the turn in which a request is written is no answer to it', async () => {
  const { socket, sent, told, ask } = connection();
  ask();
  socket.push(answer);
  await turn();
  await turn();
  expect(told).toEqual(['broken, begun: false', 'closed']);
  expect(sent).toEqual([]);
});

test('what comes after that is', async () => {
  const { socket, sent, told, ask } = connection();
  ask();
  await turn();
  expect(sent).toEqual(['POST / HTTP/1.1\r\n\r\n{}']);
  socket.push(answer);
  await turn();
  expect(told).toEqual(['head 200', 'body OK', 'free', 'complete']);
});

test('requests of one turn go out together at its end', async () => {
  const [a, b] = [connection(), connection()];
  a.ask();
  b.ask();
  await Promise.resolve();
  expect([a.sent, b.sent]).toEqual([[], []]);
  await turn();
  expect([a.sent.length, b.sent.length]).toEqual([1, 1]);
});

/** An upstream on a socket of its own, and a connection to it that reads into the shared memory. */
async function realConnection() {
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', onread: reading });
  const [[upstream]] = (await Promise.all([once(server, 'connection'), once(socket, 'connect')])) as [
    [Socket],
    unknown,
  ];
  onTestFinished(() => void upstream.destroy());
  const made = new Connection(socket, { free() {}, closed() {} });
  onTestFinished(() => made.destroy());
  const parts: Buffer[] = [];
  const { promise: ended, resolve: end } = Promise.withResolvers<string>();
  made.send('POST / HTTP/1.1\r\n\r\n', Buffer.from('{}'), {
    onHead() {},
    onBody: (part) => parts.push(part),
    onComplete: () => end('complete'),
    onBroken: (error) => end(error.message),
  });
  await once(upstream, 'data');
  return { made, socket, upstream, parts, ended };
}

test('what one connection was given stays what it was while others read', async () => {
  const both = [await realConnection(), await realConnection()];
  const head = 'HTTP/1.1 200 OK\r\nTransfer-Enc';
  for (const { upstream } of both) upstream.write(head);
  for (const { socket } of both) while (socket.bytesRead < head.length) await turn();
  for (const { upstream } of both) upstream.write('oding: chunked\r\n\r\n');
  for (let round = 0; round < 50; round++) {
    for (const [i, { upstream, parts }] of both.entries()) {
      const had = parts.length;
      upstream.write(`3\r\n${'ab'[i]}${String(round).padStart(2, '0')}\r\n`);
      while (parts.length === had) await turn();
    }
  }
  for (const { upstream } of both) upstream.write('0\r\n\r\n');
  expect(await Promise.all(both.map(({ ended }) => ended))).toEqual(['complete', 'complete']);
  for (const [i, { parts }] of both.entries()) {
    const rounds = Array.from({ length: 50 }, (_, round) => `${'ab'[i]}${String(round).padStart(2, '0')}`);
    expect(Buffer.concat(parts).toString()).toBe(rounds.join(''));
  }
});

test('a paused connection takes nothing more from its upstream, and all of it once it goes on', async () => {
  const { made, upstream, parts, ended } = await realConnection();
  const size = 64 * 1024 * 1024;
  upstream.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
  made.pause();
  upstream.write(Buffer.alloc(size, 'x'));
  // What the system's own buffers take, and no more.
  let left = 0;
  do {
    left = upstream.writableLength;
    for (let i = 0; i < 100; i++) await turn();
  } while (upstream.writableLength !== left);
  expect(left).toBeGreaterThan(size / 2);
  expect(parts).toEqual([]);
  made.resume();
  expect(await ended).toBe('complete');
  expect(parts.reduce((sum, part) => sum + part.length, 0)).toBe(size);
});

test('an upstream that ends in the middle is told of', async () => {
  const { upstream, ended } = await realConnection();
  upstream.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
  expect(await ended).toBe('connection closed without a complete answer');
});
