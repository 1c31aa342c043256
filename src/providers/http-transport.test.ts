import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { closedPort, startRawUpstream, startUpstream } from '../../test/support/upstream.ts';
import { closed, nextTurn, ok, request, send, transportTo } from './http-transport.suite.ts';

describe('an answer', () => {
  test('is asked for with exactly what was to be sent, and comes with its status, headers and bytes', async () => {
    const upstream = await startUpstream((_request, response) => {
      response.writeHead(429, { 'Retry-After': '7', 'X-Many': ['a', 'b'] });
      response.end('مهلًا 🙂');
    });
    const sent = send(transportTo(upstream.origin));
    expect(await sent.end).toBe(null);
    const { status, headers } = await sent.head;
    expect(status).toBe(429);
    expect(headers).toMatchObject({ 'retry-after': '7', 'x-many': ['a', 'b'] });
    expect(sent.body().toString()).toBe('مهلًا 🙂');
    expect(sent.calls[0]).toBe('head');
    expect(sent.calls.at(-1)).toBe('end');
    expect(upstream.requests).toHaveLength(1);
    expect(upstream.requests[0]).toMatchObject({
      method: 'POST',
      path: request.path,
      body: request.body.toString(),
      headers: { 'content-type': 'application/json', 'content-length': String(request.body.length) },
    });
  });

  test('begins after any interim answers', async () => {
    const upstream = await startRawUpstream((socket) => {
      socket.write('HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n');
      socket.write(ok);
    });
    const sent = send(transportTo(upstream.origin));
    expect(await sent.end).toBe(null);
    expect((await sent.head).status).toBe(200);
    expect(sent.calls.filter((call) => call === 'head')).toHaveLength(1);
  });

  test('comes over a connection that is kept for the next one', async () => {
    const upstream = await startRawUpstream((socket) => socket.write(ok));
    const transport = transportTo(upstream.origin);
    for (let i = 0; i < 20; i++) {
      expect(await send(transport).end).toBe(null);
      await nextTurn();
    }
    expect(upstream.connections).toHaveLength(1);
  });

  test('does not wait for another one', async () => {
    const waiting: Socket[] = [];
    const upstream = await startRawUpstream((socket) => {
      waiting.push(socket);
      if (waiting.length === 10) for (const each of waiting) each.write(ok);
    });
    const transport = transportTo(upstream.origin);
    const all = Array.from({ length: 10 }, () => send(transport).end);
    expect(await Promise.all(all)).toStrictEqual(all.map(() => null));
  });
});

describe('a stale connection', () => {
  test('is not a failure of the upstream: the request goes out again on a fresh one', async () => {
    let answers = 0;
    const upstream = await startRawUpstream((socket, piece, earlier) => {
      if (earlier > 0) {
        socket.destroy();
        return;
      }
      expect(piece.includes(request.body)).toBe(true);
      answers++;
      socket.write(ok);
    });
    const transport = transportTo(upstream.origin);
    for (let i = 0; i < 120; i++) {
      const sent = send(transport);
      expect(await sent.end).toBe(null);
      expect(sent.calls).toStrictEqual(['head', 'data', 'end']);
      await nextTurn();
    }
    expect(answers).toBe(120);
    expect(upstream.connections.length).toBeGreaterThan(60);
  });

  test.each(['destroy', 'resetAndDestroy', 'end'] as const)(
    'is not seen by callers where an upstream hangs up by %s right after each answer',
    async (how) => {
      const upstream = await startUpstream((received, response) => {
        response.end('{"ok":true}', () => setImmediate(() => received.socket[how]()));
      });
      const transport = transportTo(upstream.origin);
      const callers = Array.from({ length: 10 }, async () => {
        const ends = [];
        for (let i = 0; i < 20; i++) {
          ends.push(await send(transport).end);
          await nextTurn();
        }
        return ends.filter((end) => end !== null);
      });
      expect((await Promise.all(callers)).flat()).toStrictEqual([]);
    },
  );

  test('is told of where the fresh one does not answer either, after one more try and no others', async () => {
    let pieces = 0;
    const upstream = await startRawUpstream((socket) => {
      pieces++;
      if (pieces === 1) socket.write(ok);
      else socket.destroy();
    });
    const transport = transportTo(upstream.origin);
    expect(await send(transport).end).toBe(null);
    await nextTurn();
    const sent = send(transport);
    expect(await sent.end).toMatchObject({ phase: 'head', timedOut: false });
    expect(sent.calls).toStrictEqual(['error']);
    expect(pieces).toBe(3);
  });

  test('is not asked again where it had begun to answer', async () => {
    let pieces = 0;
    const upstream = await startRawUpstream((socket) => {
      pieces++;
      if (pieces === 1) socket.write(ok);
      else socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf');
    });
    const transport = transportTo(upstream.origin);
    await send(transport).end;
    await nextTurn();
    expect(await send(transport).end).toMatchObject({ phase: 'body' });
    expect(pieces).toBe(2);
  });
});

describe('an upstream', () => {
  test('that is not there refuses the connection', async () => {
    const sent = send(transportTo(await closedPort()));
    expect(await sent.end).toMatchObject({ phase: 'connect', timedOut: false, reason: 'connection refused' });
    expect(sent.calls).toStrictEqual(['error']);
  });

  test.each(['destroy', 'resetAndDestroy', 'end'] as const)(
    'that hangs up on a new connection by %s has failed, and is not asked twice',
    async (how) => {
      const upstream = await startRawUpstream((socket) => socket[how]());
      const sent = send(transportTo(upstream.origin));
      expect(await sent.end).toMatchObject({ phase: 'head', timedOut: false });
      expect(sent.calls).toStrictEqual(['error']);
      expect(upstream.connections).toHaveLength(1);
    },
  );

  const cuts: [what: string, answer: string, how: 'end' | 'resetAndDestroy'][] = [
    ['a body shorter than announced', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf', 'end'],
    ['a reset in the body', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf', 'resetAndDestroy'],
    ['a chunk that is cut', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nhalf', 'end'],
    ['chunks without the last', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n', 'end'],
  ];

  test.each(cuts)('that cuts its answer is told of after what came: %s', async (_what, answer, how) => {
    const upstream = await startRawUpstream((socket) => {
      socket.write(answer, () => {
        if (how === 'end') socket.end();
      });
    });
    const sent = send(transportTo(upstream.origin));
    await sent.firstData;
    if (how === 'resetAndDestroy') upstream.connections[0]?.resetAndDestroy();
    expect(await sent.end).toMatchObject({ phase: 'body', timedOut: false });
    expect(sent.body().toString()).toBe('half');
    expect(sent.calls).toStrictEqual(['head', 'data', 'error']);
  });

  test.each([
    ['garbage', 'SSH-2.0-OpenSSH_9.9\r\n', 'not an HTTP answer'],
    ['headers without end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(300_000)}`, 'response headers too large'],
    ['no answer to HTTP/1.1', 'HTTP/7.3 200 OK\r\n\r\n', 'not an HTTP answer'],
  ])('that sends %s does not speak HTTP', async (_what, answer, reason) => {
    const upstream = await startRawUpstream((socket) => socket.write(answer));
    const sent = send(transportTo(upstream.origin));
    expect(await sent.end).toMatchObject({ phase: 'head', timedOut: false, reason });
    expect(sent.calls).toStrictEqual(['error']);
  });

  test('is described without its address', async () => {
    const end = await send(transportTo(await closedPort())).end;
    expect(end?.reason).not.toMatch(/\d/);
  });
});

describe('a connection that is never made', () => {
  /** TCP is accepted, and the TLS handshake never answered. */
  const silent = async (): Promise<{ readonly origin: string; readonly connections: readonly Socket[] }> => {
    const { origin, connections } = await startRawUpstream(() => {});
    return { origin: origin.replace('http:', 'https:'), connections };
  };

  test('is given up at its deadline', async () => {
    const { origin } = await silent();
    const sent = send(transportTo(origin), { connectTimeoutMs: 30 });
    expect(await sent.end).toMatchObject({ phase: 'connect', timedOut: true });
    expect(sent.calls).toStrictEqual(['error']);
  });

  test('does not stay for ever after that, however patient others are', async () => {
    const { origin, connections } = await silent();
    const transport = transportTo(origin, 50);
    const patient = send(transport, { connectTimeoutMs: 60_000 });
    const sent = send(transport, { connectTimeoutMs: 20 });
    await sent.end;
    await Promise.all([closed(connections[0]!), patient.end]);
    expect(sent.calls).toStrictEqual(['error']);
    expect(await patient.end).toMatchObject({ phase: 'connect', timedOut: true });
  });

  test('may be abandoned before', async () => {
    const { origin, connections } = await silent();
    const { calls, exchange } = send(transportTo(origin), { connectTimeoutMs: 60_000 });
    exchange.abort();
    while (connections[0] === undefined) await nextTurn();
    connections[0].write('no TLS');
    await closed(connections[0]);
    expect(calls).toStrictEqual([]);
  });
});
