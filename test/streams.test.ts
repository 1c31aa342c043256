import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aiProcess, dialects, openai } from './support/dialects.ts';
import { ask, post, rowOf } from './support/http.ts';
import type { Behaviour, Upstream } from './support/model-service.ts';
import { beginStream, doneEvent, event, says, startUpstream, usageEvent } from './support/model-service.ts';
import type { Running } from './support/mizan.ts';
import { everInUse, runMizan } from './support/mizan.ts';

const words = ['بِسْمِ', ' اللّٰه \u2028👩🏽‍🚀', '🇸🇦', ' e\u0301 "\\n'];

const chunk = (choice: object) => `data: ${JSON.stringify({ choices: [choice] })}\n\n`;

/** A stream with everything that can be in one: comments, a role, a usage event. */
const whole = [
  ': ناطر\n\n',
  chunk({ delta: { role: 'assistant' } }),
  ...words.slice(0, 2).map((content) => chunk({ delta: { content } })),
  ': 🕰️\n\n',
  ...words.slice(2).map((content) => chunk({ delta: { content } })),
  chunk({ delta: {}, finish_reason: 'stop' }),
  'data: {"choices":[],"usage":{"prompt_tokens":7}}\n\n',
  doneEvent,
].join('');

/**
 * Sends `pieces` so that each is read by itself, however they come over the connection: as chunks of HTTP. Node makes
 * one chunk of what is written in one turn.
 */
async function sendPieces(response: ServerResponse, pieces: Iterable<Buffer>): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  for (const piece of pieces) {
    if (piece.length > 0) response.write(piece);
    await setImmediate();
  }
  response.end();
}

/** What a stream does before it has said anything. */
const early: Readonly<Record<string, Behaviour>> = {
  'closes the connection without an answer': (_request, response) => void response.destroy(),
  'closes after the head': (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    response.socket?.end();
  },
  'closes after the role': (_request, response) => {
    beginStream(response);
    response.socket?.end();
  },
  'closes in the middle of the first token': (_request, response) => {
    beginStream(response);
    response.write(event({ content: 'Never seen' }).slice(0, -10));
    response.socket?.end();
  },
  'ends after the role': (_request, response) => {
    beginStream(response);
    response.end();
  },
  'is done without a word': (_request, response) => {
    beginStream(response);
    response.end(doneEvent);
  },
  'sends an error for its first event': (_request, response) => {
    beginStream(response);
    response.end('data: {"error":{"message":"Never seen"}}\n\n');
  },
  'sends an event that is not JSON': (_request, response) => {
    beginStream(response);
    response.end('data: <html>\n\n');
  },
  'answers in HTML': (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end('<html>Never seen</html>');
  },
  'answers without streaming': (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end('{"choices":[{"message":{"content":"Never seen"},"finish_reason":"stop"}]}');
  },
  'says nothing after the role': (_request, response) => beginStream(response),
  'says nothing at all': () => {},
};

/** What a stream does after it has said `Half of`: the code of the error that it ends with. */
const late: Readonly<Record<string, readonly [code: string, behaviour: (response: ServerResponse) => void]>> = {
  'is cut between two events': ['upstream_truncated', (response) => response.socket?.end()],
  'is cut in the middle of an event': [
    'upstream_truncated',
    (response) => response.write(event({ content: 'Never seen' }).slice(0, -1), () => response.socket?.end()),
  ],
  'is reset': ['upstream_truncated', (response) => response.socket?.resetAndDestroy()],
  'ends without an ending': ['upstream_truncated', (response) => response.end()],
  'ends without a finish reason': ['upstream_truncated', (response) => response.end(doneEvent)],
  'has a finish reason and no ending': ['upstream_truncated', (response) => response.end(event({}, 'stop'))],
  'stalls between two events': ['upstream_timeout', () => {}],
  'stalls in the middle of an event': ['upstream_timeout', (response) => void response.write('data: {"cho')],
  'sends an event that is not JSON': ['upstream_protocol', (response) => response.end('data: It works!\n\n')],
  'sends an event that is a list': ['upstream_protocol', (response) => response.end('data: [1, 2]\n\n')],
  'sends bytes that are no text': [
    'upstream_protocol',
    (response) =>
      response.end(Buffer.concat([Buffer.from('data: '), Buffer.from([0xff, 0, 0x80]), Buffer.from('\n\n')])),
  ],
  'sends an error': ['upstream_error', (response) => response.end('data: {"error":{"message":"On fire"}}\n\n')],
  'sends an error and then more': [
    'upstream_error',
    (response) =>
      response.end(
        `data: {"error":{"message":"On fire","code":500}}\n\n${event({ content: 'Never seen' })}${doneEvent}`,
      ),
  ],
  'finishes with an error': ['upstream_error', (response) => response.end(event({}, 'error') + doneEvent)],
};

let upstream: Upstream;
let mizan: Running;
let token: string;

const named = (behaviours: Readonly<Record<string, unknown>>, kind: string) =>
  Object.keys(behaviours).map((does, i) => ({ does, name: `${kind}-${i}` }));

beforeAll(async () => {
  const behaviours: Record<string, Behaviour> = {
    whole: ({ body }, response) => {
      const bytes = Buffer.from(whole);
      const at = Number(body['split']);
      return sendPieces(response, [bytes.subarray(0, at), bytes.subarray(at)]);
    },
    bytewise: (_request, response) =>
      sendPieces(
        response,
        Array.from(Buffer.from(whole), (byte) => Buffer.from([byte])),
      ),
    crlf: (_request, response) => {
      const bytes = Buffer.from(whole.replaceAll('\n', '\r\n'));
      return sendPieces(
        response,
        Array.from(bytes, (byte) => Buffer.from([byte])),
      );
    },
    lingering: (_request, response) => {
      beginStream(response);
      response.write(
        event({ content: 'Done' }) + event({}, 'stop') + usageEvent + doneEvent + event({ content: 'Never seen' }),
      );
    },
    good: says('The ', 'other ', 'answers'),
  };
  const models: Record<string, object> = {};
  // Long enough for the one that takes over, on a machine that has much else to do.
  const timeouts = { firstByteMs: 400, firstTokenMs: 400, idleMs: 400 };
  const mocked = (id: string) => ({ id, provider: 'mock', model: id });
  for (const id of ['whole', 'bytewise', 'crlf', 'lingering']) models[id] = { instances: [mocked(id)] };
  for (const { does, name } of named(early, 'early')) {
    behaviours[name] = early[does]!;
    // The one that fails is always asked first.
    models[name] = { instances: [{ ...mocked(name), weight: 1000 }, mocked('good')], timeouts, health: everInUse };
  }
  for (const { does, name } of named(late, 'late')) {
    const [, behaviour] = late[does]!;
    behaviours[name] = (_request, response) => {
      beginStream(response);
      response.write(event({ content: 'Half' }));
      response.write(event({ content: ' of' }), () => behaviour(response));
    };
    models[name] = {
      instances: [{ ...mocked(name), weight: 1000 }, mocked('good')],
      timeouts,
      health: { consecutiveFailures: 2 },
    };
  }
  upstream = await startUpstream(behaviours);
  mizan = await runMizan({
    providers: { mock: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models,
    agents: Object.fromEntries(Object.keys(models).map((model) => [model, { model }])),
  });
  token = await mizan.token();
});

afterAll(async () => {
  await mizan.end();
  await upstream.close();
});

describe('a stream with Arabic and emoji', () => {
  const boundaries = Array.from({ length: Buffer.byteLength(whole) + 1 }, (_, i) => i);

  /** For a machine that has much else to do. In ms. */
  const patience = 90_000;

  /** Asks for each boundary, eight at a time. */
  async function atEveryBoundary(read: (split: number) => Promise<unknown>): Promise<unknown[]> {
    const results: unknown[] = [];
    const next = boundaries.values();
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (const split of next) results[split] = await read(split);
      }),
    );
    return results;
  }

  /** Comments before the first event only keep our own connection alive: the caller may see them or not. */
  const fromFirstEvent = (text: string) => text.replace(/^(:.*\n\n)+/, '');

  test(
    'is byte-identical on /v1 from its first event on, whichever byte it is split at',
    async () => {
      const usage = { stream_options: { include_usage: true } };
      const answers = await atEveryBoundary(async (split) => {
        const { text } = await post(
          `${mizan.url}${openai.path}`,
          token,
          openai.body('whole', { params: { split, ...usage } }),
        );
        return fromFirstEvent(text) === fromFirstEvent(whole) || { split, text };
      });
      expect(answers.filter((answer) => answer !== true)).toEqual([]);
      expect(answers).toHaveLength(boundaries.length);
    },
    patience,
  );

  test(
    'has its text joined the same on /ai-process, whichever byte it is split at',
    async () => {
      const answers = await atEveryBoundary(async (split) => {
        const { text } = await post(
          `${mizan.url}${aiProcess.path}`,
          token,
          aiProcess.body('whole', { params: { split } }),
        );
        const { output, isComplete, finishes } = aiProcess.readStream(text);
        return (isComplete && finishes.join() === 'stop' && output) || { split, text };
      });
      expect(new Set(answers)).toEqual(new Set([words.join('')]));
      expect(answers).toHaveLength(boundaries.length);
    },
    patience,
  );

  test('loses nothing on /v1 but the usage that nobody asked for', async () => {
    const { text } = await post(`${mizan.url}${openai.path}`, token, openai.body('bytewise'));
    expect(fromFirstEvent(text)).toBe(fromFirstEvent(whole).replace(/data: \{"choices":\[\],"usage".*\n\n/, ''));
  });
});

describe.for(dialects)('on $path a stream', ({ path, body, readStream }) => {
  const stream = (target: string) => post(`${mizan.url}${path}`, token, body(target));

  test.for(named(early, 'early'))(
    'that $does is taken over by the next instance, which nobody notices',
    async ({ name }) => {
      const before = upstream.requestsTo('good').length;
      const answer = await stream(name);
      expect(answer.status).toBe(200);
      expect(readStream(answer.text)).toEqual({
        output: 'The other answers',
        finishes: ['stop'],
        isComplete: true,
        error: null,
      });
      expect(answer.text).not.toContain('Never seen');
      expect(answer.text.match(/"role":"assistant"/g) ?? []).toHaveLength(path === '/ai-process' ? 0 : 1);
      expect(answer.headers.get('x-mizan-instance')).toBe('good');
      expect(answer.headers.get('x-mizan-attempts')).toBe('2');
      expect(upstream.requestsTo('good')).toHaveLength(before + 1);
    },
  );

  test.for(named(late, 'late'))(
    'that $does after a token ends with an error, and is never finished',
    async ({ does, name }) => {
      const before = upstream.requestsTo('good').length;
      const answer = await stream(name);
      expect(answer.status).toBe(200);
      const { output, isComplete, error } = readStream(answer.text);
      expect({ output, isComplete }).toEqual({ output: 'Half of', isComplete: false });
      expect(error).toMatchObject({ code: late[does]![0], request_id: answer.headers.get('x-request-id') });
      expect(answer.text).not.toContain('Never seen');
      expect(upstream.requestsTo('good')).toHaveLength(before);
      const row = await rowOf(mizan.url, token, error!.request_id!);
      expect(row).toMatchObject({
        status: error!.code === 'upstream_timeout' ? 504 : 502,
        error_code: error!.code,
        attempts: 1,
        instance: name,
        usage: { input_tokens: null, output_tokens: 2, cost_usd: null, source: 'received' },
      });
    },
  );
});

test('a stream is over with its terminator, though the upstream keeps the connection open; then we close it', async () => {
  await Promise.all(
    dialects.map(async ({ path, body, readStream }) => {
      const { text } = await post(`${mizan.url}${path}`, token, body('lingering'));
      expect(readStream(text)).toMatchObject({ output: 'Done', isComplete: true });
      expect(text).not.toContain('Never seen');
    }),
  );
  await Promise.all(upstream.requestsTo('lingering').map(({ closed }) => closed));
});

describe('an answer that is not streamed', () => {
  test.for(named(early, 'early').filter(({ does }) => !does.startsWith('answers without')))(
    'is taken over just so from one that $does',
    async ({ name }) => {
      for (const { path, body } of dialects) {
        const answer = await post(`${mizan.url}${path}`, token, body(name, { stream: false }));
        expect(answer.status).toBe(200);
        expect(answer.text).toContain('The other answers');
        expect(answer.headers.get('x-mizan-attempts')).toBe('2');
      }
    },
  );
});

test('what failed after a token counts against its instance', async () => {
  const { text } = await ask(`${mizan.metricsUrl}/metrics`);
  expect(text).toMatch(/^mizan_attempts_total\{instance="late-0",model="late-0",outcome="truncated"\} 2$/m);
  expect(text).toMatch(/^mizan_instance_up\{instance="late-0",model="late-0"\} 0$/m);
});
