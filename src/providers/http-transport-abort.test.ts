import { once } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { startRawUpstream, startUpstream } from '../../test/support/upstream.ts';
import { HttpTransport } from './http-transport.ts';
import { closed, nextTurn, ok, request, send, transportTo } from './http-transport.suite.ts';

describe('abort', () => {
  test('closes the upstream’s connection while it waits for an answer', async () => {
    const arrived = Promise.withResolvers<Socket>();
    const upstream = await startRawUpstream((socket) => arrived.resolve(socket));
    const sent = send(transportTo(upstream.origin));
    const socket = await arrived.promise;
    sent.exchange.abort();
    await closed(socket);
    expect(sent.calls).toStrictEqual([]);
  });

  test('closes it in the middle of an answer, and nothing more is said', async () => {
    const upstream = await startRawUpstream((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nhalf');
    });
    const sent = send(transportTo(upstream.origin));
    await sent.firstData;
    const [socket] = upstream.connections;
    sent.exchange.abort();
    sent.exchange.abort();
    socket?.write('the other half');
    await closed(socket!);
    expect(sent.calls).toStrictEqual(['head', 'data']);
  });

  test('may come from within a call, which is then the last', async () => {
    const upstream = await startUpstream((_request, response) => response.end('x'.repeat(1_000_000)));
    const calls: string[] = [];
    const exchange = transportTo(upstream.origin).send(request, {
      onHead() {
        calls.push('head');
        exchange.abort();
      },
      onData: () => calls.push('data'),
      onEnd: () => calls.push('end'),
      onError: () => calls.push('error'),
    });
    const [socket] = (await once(upstream.server, 'connection')) as [Socket];
    await closed(socket);
    expect(calls).toStrictEqual(['head']);
  });

  test('before the connection is made keeps the request from being sent', async () => {
    const upstream = await startUpstream((_request, response) => response.end('{}'));
    const transport = transportTo(upstream.origin);
    const sent = send(transport, { path: '/aborted' });
    sent.exchange.abort();
    await send(transport, { path: '/next' }).end;
    await nextTurn();
    expect(upstream.requests.map(({ path }) => path)).toStrictEqual(['/next']);
    expect(sent.calls).toStrictEqual([]);
  });

  test('after the end harms nobody: the connection is kept', async () => {
    const upstream = await startRawUpstream((socket) => socket.write(ok));
    const transport = transportTo(upstream.origin);
    const first = send(transport);
    await first.end;
    first.exchange.abort();
    await nextTurn();
    expect(await send(transport).end).toBe(null);
    expect(upstream.connections).toHaveLength(1);
  });

  test('of a request on a stale connection is the end of it', async () => {
    const seen: Socket[] = [];
    const upstream = await startRawUpstream((socket, _piece, earlier) => {
      seen.push(socket);
      if (earlier === 0) socket.write(ok);
    });
    const transport = transportTo(upstream.origin);
    await send(transport).end;
    await nextTurn();
    const sent = send(transport);
    while (seen.length < 2) await nextTurn();
    seen[1]?.destroy();
    sent.exchange.abort();
    await closed(seen[1]!);
    expect(await send(transport).end).toBe(null);
    expect(sent.calls).toStrictEqual([]);
  });
});

test('a paused answer stays with the upstream until it is resumed', async () => {
  const size = 24 * 1024 * 1024;
  const upstream = await startUpstream((received, response) => {
    response.end(received.path === '/large' ? Buffer.alloc(size, 'x') : 'small');
  });
  const transport = transportTo(upstream.origin);
  const large = send(transport, { path: '/large' });
  await large.firstData;
  large.exchange.pause();
  const atPause = large.body().length;
  for (let i = 0; i < 20; i++) await send(transport, { path: '/small' }).end;
  expect(large.body().length - atPause).toBeLessThan(1024 * 1024);
  expect(upstream.requests[0]?.socket.writableNeedDrain).toBe(true);
  large.exchange.resume();
  expect(await large.end).toBe(null);
  expect(large.body()).toHaveLength(size);
});

describe('an answer that ended while it was paused', () => {
  test('does not hold up the next one on its connection', async () => {
    const upstream = await startRawUpstream((socket) => socket.write(ok));
    const transport = transportTo(upstream.origin);
    for (let i = 0; i < 3; i++) {
      const sent = send(transport, {}, (exchange) => exchange.pause());
      expect(await sent.end).toBe(null);
      await nextTurn();
    }
    expect(upstream.connections).toHaveLength(1);
  });

  test('has no hold on it any more', async () => {
    const body = ok.indexOf('\r\n\r\n') + 4;
    let answers = 0;
    const upstream = await startRawUpstream((socket) => socket.write(answers++ === 0 ? ok : ok.slice(0, body)));
    const transport = transportTo(upstream.origin);
    const first = send(transport);
    expect(await first.end).toBe(null);
    await nextTurn();
    const second = send(transport);
    await second.head;
    first.exchange.pause();
    upstream.connections[0]?.write(ok.slice(body));
    expect(await second.end).toBe(null);
    expect(upstream.connections).toHaveLength(1);
  });
});

test('closing cuts what is under way, and says so', async () => {
  const upstream = await startRawUpstream((socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf');
  });
  const transport = new HttpTransport(upstream.origin);
  const sent = send(transport);
  await sent.firstData;
  await transport.close();
  expect(await sent.end).toMatchObject({ phase: 'body', timedOut: false });
  expect(await send(transport).end).toMatchObject({ phase: 'connect' });
});
