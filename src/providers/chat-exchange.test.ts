import { describe, expect, test } from 'vitest';
import { Listener, preparedChat } from '../../test/support/attempts.ts';
import type { Answer } from '../../test/support/openai-upstream.ts';
import {
  answerWith,
  ask,
  asked,
  clock,
  delta,
  done,
  eventStream,
  finish,
  plain,
  providerAt,
  streamed,
  usageOnly,
} from '../../test/support/openai-upstream.ts';
import { closedPort, startRawUpstream, startUpstream } from '../../test/support/upstream.ts';
import type { FailureKind } from '../core/failure.ts';

describe('a stream', () => {
  test('is relayed to the byte: comments, unknown fields, line ends and all', async () => {
    const events = [
      ': OPENROUTER PROCESSING\r\n\r\n',
      'event: message\nid: 7\ndata: {"choices":[{"delta":{"role":"assistant","x":{"ي":"🙂"}}}],"extra": [1 , 2]}\n\n',
      delta('مرحبا'),
      'data: {"choices":[{"delta":{"content":"🙂"}}],\ndata: "two":"lines"}\r\n\r\n',
      finish,
    ].join('');
    const { listener, last } = await asked(answerWith(200, eventStream, events + done), streamed);
    expect(last).toBe('end');
    expect(listener.text()).toBe(events);
    expect(listener.events.flatMap(({ chunks }) => chunks)).toHaveLength(4);
    expect(listener.calls[0]).toBe('head');
    expect(listener.calls.at(-1)).toBe('end');
  });

  test('is the same however its bytes come', async () => {
    const events = Buffer.from(delta('سلام 🙂') + ': hm\n\n' + delta('x') + finish + usageOnly);
    const upstream = await startUpstream((_request, response) => {
      response.writeHead(200, eventStream);
      response.socket?.setNoDelay(true);
      for (const byte of events) response.write(Buffer.of(byte));
      response.end(done);
    });
    const listener = ask(providerAt(upstream.origin), preparedChat(streamed));
    expect(await listener.last).toBe('end');
    expect(listener.text()).toBe(events.toString().replace(usageOnly, ''));
  });

  test('hides the usage that only we asked for, and tells us of it', async () => {
    const events = delta('a') + finish + usageOnly;
    const { listener } = await asked(answerWith(200, eventStream, events + done), streamed);
    expect(listener.text()).toBe(delta('a') + finish);
    expect(listener.events.flatMap(({ chunks }) => chunks).at(-1)).toMatchObject({ usage: { prompt_tokens: 3 } });
  });

  test('shows the usage that the caller asked for', async () => {
    const events = delta('a') + finish + usageOnly;
    const { listener } = await asked(answerWith(200, eventStream, events + done), streamed, { wantsUsage: true });
    expect(listener.text()).toBe(events);
  });

  test('shows usage that comes with a choice, whoever asked', async () => {
    const events = `data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3}}\n\n`;
    const { listener } = await asked(answerWith(200, eventStream, events + done), streamed);
    expect(listener.text()).toBe(events);
  });

  test('tells of usage that came alone, though there is nothing to relay', async () => {
    const upstream = await startUpstream((_request, response) => {
      response.writeHead(200, eventStream);
      response.write(usageOnly, () => response.end(done));
    });
    const listener = ask(providerAt(upstream.origin), preparedChat(streamed));
    expect(await listener.last).toBe('end');
    expect(listener.text()).toBe('');
    expect(listener.events.flatMap(({ chunks }) => chunks)).toHaveLength(1);
  });

  test('is over at its terminator: nothing after it is part of the answer', async () => {
    const { listener, last } = await asked(answerWith(200, eventStream, finish + done + delta('more')), streamed);
    expect(last).toBe('end');
    expect(listener.text()).toBe(finish);
  });

  test('that is over leaves its connection to the next', async () => {
    const upstream = await startUpstream(answerWith(200, eventStream, finish + done));
    const provider = providerAt(upstream.origin);
    for (let i = 0; i < 5; i++) {
      await ask(provider, preparedChat(streamed)).last;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(new Set(upstream.requests.map(({ socket }) => socket.remotePort)).size).toBeLessThan(3);
  });

  test('that is held open after its terminator is ended at once, and its connection a little later', async () => {
    const upstream = await startUpstream((_request, response) => {
      response.writeHead(200, eventStream).write(finish + done);
    });
    const listener = ask(providerAt(upstream.origin), preparedChat(streamed));
    expect(await listener.last).toBe('end');
    const socket = upstream.requests[0]?.socket;
    expect(socket?.destroyed).toBe(false);
    await new Promise((resolve) => socket?.once('close', resolve));
    expect(listener.calls.filter((call) => call !== 'events')).toStrictEqual(['head', 'end']);
  });

  test('may name its type in other words', async () => {
    const headers = { 'content-type': 'Text/Event-Stream; charset=UTF-8' };
    const { last } = await asked(answerWith(200, headers, finish + done), streamed);
    expect(last).toBe('end');
  });
});

describe('a failure', () => {
  const message = '{"error":{"message":"Something about it.","param":"messages[0]","code":"x"}}';
  const statuses: [status: number, kind: FailureKind, isTold: boolean][] = [
    [400, 'rejected', true],
    [401, 'unauthorized', false],
    [402, 'unauthorized', false],
    [403, 'unauthorized', false],
    [404, 'unknown_model', true],
    [405, 'rejected', true],
    [408, 'overloaded', true],
    [409, 'overloaded', true],
    [413, 'rejected', true],
    [415, 'rejected', true],
    [418, 'rejected', true],
    [422, 'rejected', true],
    [425, 'overloaded', true],
    [429, 'rate_limited', true],
    [499, 'rejected', true],
    [500, 'server_error', true],
    [501, 'server_error', true],
    [502, 'server_error', true],
    [503, 'overloaded', true],
    [504, 'server_error', true],
    [520, 'server_error', true],
    [529, 'overloaded', true],
    [201, 'protocol', false],
    [204, 'protocol', false],
    [302, 'protocol', false],
  ];

  test.each(statuses)('of status %i is of kind %s', async (status, kind, isTold) => {
    for (const body of [plain, streamed]) {
      const { listener } = await asked(answerWith(status, {}, status === 204 ? '' : message), body);
      const failure = await listener.failure();
      expect(failure).toMatchObject({ kind, status });
      expect(failure?.message.includes('Something about it.')).toBe(isTold);
      expect(listener.calls).toStrictEqual(['failure']);
    }
  });

  test('names the field that the upstream names', async () => {
    const { listener } = await asked(answerWith(400, {}, message));
    expect(await listener.failure()).toMatchObject({ param: 'messages[0]' });
  });

  test.each([
    ['a string', '{"error":"model is loading"}', 'model is loading'],
    ['a bare message', '{"message":"model is loading","detail":1}', 'model is loading'],
    ['an empty message', '{"error":{"message":""}}', 'upstream answered with status 500.'],
    ['HTML', '<html>Bad gateway</html>', 'upstream answered with status 500.'],
    ['nothing', '', 'upstream answered with status 500.'],
    ['a list', '[{"error":"x"}]', 'upstream answered with status 500.'],
    ['a very long message', JSON.stringify({ error: { message: 'x'.repeat(9000) } }), 'x'.repeat(500)],
  ])('may be told in %s', async (_what, body, said) => {
    const { listener } = await asked(answerWith(500, { 'content-type': 'text/html' }, body));
    expect((await listener.failure())?.message).toBe(said);
  });

  test.each([
    [{ 'retry-after': '7' }, 7000],
    [{ 'retry-after': '0' }, 0],
    [{ 'retry-after': '1.5' }, 1500],
    [{ 'retry-after-ms': '250', 'retry-after': '7' }, 250],
    [{ 'retry-after': new Date(clock.now() + 90_000).toUTCString() }, 90_000],
    [{ 'retry-after': new Date(clock.now() - 90_000).toUTCString() }, 0],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after-ms': 'soon', 'retry-after': '3' }, 3000],
    [{}, undefined],
  ])('with %j says when to come again', async (headers: Record<string, string>, retryAfterMs) => {
    const { listener } = await asked(answerWith(429, headers, message));
    expect((await listener.failure())?.retryAfterMs).toBe(retryAfterMs);
  });

  const inside: [body: string, kind: FailureKind][] = [
    ['{"error":{"message":"No.","code":429}}', 'rate_limited'],
    ['{"error":{"message":"No.","code":400}}', 'rejected'],
    ['{"error":{"message":"No.","code":401}}', 'unauthorized'],
    ['{"error":{"message":"No.","code":503}}', 'overloaded'],
    ['{"error":{"message":"No.","code":"rate_limit_exceeded"}}', 'server_error'],
    ['{"error":{"message":"No.","code":7}}', 'server_error'],
    ['{"error":"No.","choices":[{"message":{}}]}', 'server_error'],
    ['{"error":true}', 'server_error'],
    ['{"choices":[{"finish_reason":"error","error":{"message":"No.","code":502}}]}', 'server_error'],
    ['{"choices":[{"finish_reason":"error"}]}', 'server_error'],
  ];

  test.each(inside)('inside an answer of status 200 is one: %s', async (body, kind) => {
    const { listener } = await asked(answerWith(200, {}, body));
    expect(await listener.failure()).toMatchObject({ kind });
    expect(listener.calls).toStrictEqual(['head', 'failure']);
  });

  test('that is null is none', async () => {
    const { last } = await asked(answerWith(200, {}, '{"error":null,"choices":[{"message":{}}]}'));
    expect(last).toHaveProperty('answer');
  });

  const wrong: [what: string, answer: Answer, body: string][] = [
    ['garbage', answerWith(200, {}, 'garbage'), plain],
    ['nothing', answerWith(200, {}, ''), plain],
    ['a list', answerWith(200, {}, '[]'), plain],
    ['an object without choices', answerWith(200, {}, '{"object":"list"}'), plain],
    ['an object with no choice', answerWith(200, {}, '{"choices":[]}'), plain],
    ['half an object', answerWith(200, {}, '{"choices":[{'), plain],
    ['a stream that was not asked for', answerWith(200, eventStream, finish + done), plain],
    ['an answer where a stream was asked for', answerWith(200, {}, '{"choices":[{}]}'), streamed],
    ['a page where a stream was asked for', answerWith(200, { 'content-type': 'text/html' }, finish + done), streamed],
    ['a compressed answer', answerWith(200, { 'content-encoding': 'gzip' }, '{"choices":[{}]}'), plain],
    ['a compressed stream', answerWith(200, { ...eventStream, 'content-encoding': 'br' }, finish + done), streamed],
    ['an event that is not JSON', answerWith(200, eventStream, 'data: garbage\n\n'), streamed],
    ['an event that is not an object', answerWith(200, eventStream, 'data: [1]\n\n'), streamed],
  ];

  test.each(wrong)('to speak the protocol: %s', async (_what, answer, body) => {
    const { listener } = await asked(answer, body);
    expect(await listener.failure()).toMatchObject({ kind: 'protocol' });
    expect(listener.calls).not.toContain('answer');
    expect(listener.text()).toBe('');
  });

  test('of an encoding that changes nothing is none', async () => {
    const { last } = await asked(answerWith(200, { 'content-encoding': 'identity' }, '{"choices":[{}]}'));
    expect(last).toHaveProperty('answer');
  });

  test.each([
    ['without a terminator', delta('a') + finish, 'truncated'],
    ['with nothing in it', '', 'truncated'],
    ['cut inside an event', delta('a') + 'data: {"choi', 'truncated'],
    ['with an event that is not JSON', delta('a') + 'data: {"choi\n\n' + done, 'protocol'],
    ['with an error event', delta('a') + 'data: {"error":{"message":"No.","code":502}}\n\n' + done, 'server_error'],
    [
      'with an error for a choice',
      delta('a') + 'data: {"choices":[{"finish_reason":"error"}]}\n\n' + done,
      'server_error',
    ],
    ['with an error of its own name', delta('a') + 'event: error\ndata: {"error":"No."}\n\n', 'server_error'],
  ])('in a stream %s comes after all that was good in it', async (_what, events, kind) => {
    const { listener } = await asked(answerWith(200, eventStream, events), streamed);
    expect(await listener.failure()).toMatchObject({ kind });
    expect(delta('a') + finish).toContain(listener.text());
    expect(listener.calls.filter((call) => call !== 'events')).toStrictEqual(['head', 'failure']);
  });

  test.each([
    ['before its head', '', 'network'],
    [
      'in its body',
      'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"cho',
      'truncated',
    ],
    [
      'after a bad status',
      'HTTP/1.1 429 No\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"err',
      'rate_limited',
    ],
  ])('to stay connected %s', async (_when, bytes, kind) => {
    const upstream = await startRawUpstream((socket) => socket.end(bytes));
    const listener = ask(providerAt(upstream.origin), preparedChat(plain));
    expect(await listener.failure()).toMatchObject({ kind });
  });

  test('to be there is one of the network', async () => {
    const listener = ask(providerAt(await closedPort()), preparedChat(plain));
    expect(await listener.failure()).toMatchObject({ kind: 'network', message: 'upstream: connection refused.' });
  });

  test('to connect in time has a kind of its own', async () => {
    const { origin } = await startRawUpstream(() => {});
    const provider = providerAt(origin.replace('http:', 'https:'));
    const listener = new Listener();
    provider.chat({ chat: preparedChat(plain), model: 'm', connectTimeoutMs: 20 }, listener);
    expect(await listener.failure()).toMatchObject({ kind: 'timeout_connect' });
  });
});

describe('cancelling', () => {
  test('closes the upstream’s connection, and nothing more is said', async () => {
    const upstream = await startUpstream((_request, response) => {
      response.writeHead(200, eventStream).write(delta('a'));
    });
    const listener = ask(providerAt(upstream.origin), preparedChat(streamed));
    await listener.firstEvents;
    const calls = [...listener.calls];
    listener.ongoing.cancel();
    await new Promise((resolve) => upstream.requests[0]?.socket.once('close', resolve));
    expect(listener.calls).toStrictEqual(calls);
  });

  test('from within an event is the end of it, whatever else came with it', async () => {
    const upstream = await startUpstream(answerWith(200, eventStream, delta('a') + finish + done));
    const listener = new Listener();
    const provider = providerAt(upstream.origin);
    const { promise: cancelled, resolve } = Promise.withResolvers<void>();
    const ongoing = provider.chat(
      { chat: preparedChat(streamed), model: 'm', connectTimeoutMs: 5000 },
      Object.assign(listener, {
        onEvents() {
          listener.calls.push('events');
          ongoing.cancel();
          resolve();
        },
      }),
    );
    await cancelled;
    await ask(provider, preparedChat(streamed)).last;
    expect(listener.calls).toStrictEqual(['head', 'events']);
  });

  test('after the end harms nobody', async () => {
    const { listener } = await asked(answerWith(200, eventStream, finish + done), streamed);
    listener.ongoing.cancel();
    listener.ongoing.cancel();
    expect(listener.calls.at(-1)).toBe('end');
  });
});

describe('bounds', () => {
  test('an event without end is not the protocol', async () => {
    const { listener } = await asked(
      answerWith(200, eventStream, `data: ${'x'.repeat(4 * 1024 * 1024 + 1)}`),
      streamed,
    );
    expect(await listener.failure()).toMatchObject({ kind: 'protocol' });
  });

  test('an answer without end is not the protocol', async () => {
    const piece = Buffer.alloc(1024 * 1024, ' ');
    const upstream = await startUpstream((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const more = (): void => {
        while (!response.destroyed && response.write(piece));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    });
    const listener = ask(providerAt(upstream.origin), preparedChat(plain));
    expect(await listener.failure()).toMatchObject({
      kind: 'protocol',
      message: 'upstream sent an answer without end.',
    });
  });
});
