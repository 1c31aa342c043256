import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { expect, test } from 'vitest';
import { Connection } from './connection.ts';

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
