import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from './support/http.ts';
import { ask, errorOf, eventsOf, post } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { everInUse, runMizan } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { beginStream, errorBody, event, fails, respond, says, startUpstream } from './support/model-service.ts';

const key = 'sk-upstream-0123456789';
const requestId = /^req_[0-9a-z]{26}$/;
let upstream: Upstream;
let mizan: Running;
let token: string;

beforeAll(async () => {
  upstream = await startUpstream({
    words: says('Hello', ' from', ' the mock'),
    free: says('Nobody knows what this costs'),
    leaky: ({ headers }, response) =>
      respond(response, 400, errorBody(`Your key is ${String(headers['authorization'])}, or ${key}.`)),
    leakyStream: (_request, response) => {
      beginStream(response);
      response.write(event({ content: 'Your key' }));
      response.end(`data: ${JSON.stringify(errorBody(`is ${key}`))}\n\n`);
    },
    locked: fails(401, `Incorrect API key provided: ${key}`),
    broken: fails(500, `${key} broke us`),
  });
  const instance = (model: string) => ({
    instances: [{ id: `${model}-1`, provider: 'mock', model }],
    health: everInUse,
  });
  mizan = await runMizan({
    providers: {
      mock: {
        kind: 'openai-compatible',
        baseUrl: upstream.url,
        apiKey: key,
        headers: { 'x-title': 'Tests' },
        prices: { words: { input: 2, output: 10 } },
      },
    },
    models: {
      words: instance('words'),
      free: instance('free'),
      leaky: instance('leaky'),
      leakyStream: instance('leakyStream'),
      locked: instance('locked'),
      broken: instance('broken'),
      nowhere: {},
    },
    agents: {
      assistant: { model: 'words', system: 'Be brief.', params: { temperature: 0.2, max_tokens: 50 } },
      free: { model: 'free' },
      leaky: { model: 'leaky' },
      leakyStream: { model: 'leakyStream' },
      locked: { model: 'locked' },
      broken: { model: 'broken' },
      direct: { model: 'mock/words' },
    },
    defaultAgent: 'assistant',
  });
  token = await mizan.token();
});

afterAll(async () => {
  await mizan.end();
  await upstream.close();
});

const run = (body: object, by = token) => post(`${mizan.url}/ai-process`, by, body);
const chat = (body: object, by = token) =>
  post(`${mizan.url}/v1/chat/completions`, by, { messages: [{ role: 'user', content: 'Hi' }], ...body });
const lastTo = (model: string) => upstream.requestsTo(model).at(-1)!.body;

/** What every answer's headers say of how it came about. */
function story({ headers }: Answer): Record<string, string | null> {
  const names = ['agent', 'model', 'instance', 'cache', 'attempts'] as const;
  return Object.fromEntries(names.map((name) => [name, headers.get(`x-mizan-${name}`)]));
}

describe('POST /ai-process', () => {
  test('answers with exactly the fields of the contract', async () => {
    const answer = await run({
      agent: 'assistant',
      input: 'Say hello',
      stream: false,
      session: null,
      params: {},
      metadata: {},
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(answer.json).toStrictEqual({
      id: expect.stringMatching(requestId),
      agent: 'assistant',
      model: 'words',
      instance: 'words-1',
      provider: 'mock',
      output: 'Hello from the mock',
      finish_reason: 'stop',
      cache: 'bypass',
      attempts: 1,
      usage: { input_tokens: 7, output_tokens: 3, cost_usd: (7 * 2 + 3 * 10) / 1e6 },
      latency_ms: expect.any(Number),
    });
  });

  test('says in its headers how the answer came about', async () => {
    for (const stream of [false, true]) {
      const answer = await run({ input: 'Hi', stream });
      expect(answer.headers.get('x-request-id')).toMatch(requestId);
      expect(answer.text).toContain(answer.headers.get('x-request-id'));
      expect(story(answer)).toEqual({
        agent: 'assistant',
        model: 'words',
        instance: 'words-1',
        cache: 'bypass',
        attempts: '1',
      });
      expect(answer.headers.get('server-timing')).toMatch(/^gateway;dur=\d+\.?\d*, upstream;dur=\d+\.?\d*$/);
    }
  });

  test('streams deltas and then exactly one done, which is the answer without its output', async () => {
    const answer = await run({ agent: 'assistant', input: 'Say hello', stream: true });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const events = eventsOf(answer.text);
    expect(events.slice(0, -1)).toEqual(
      ['Hello', ' from', ' the mock'].map((text) => ({ name: 'delta', data: JSON.stringify({ text }) })),
    );
    expect(events.at(-1)!.name).toBe('done');
    expect(JSON.parse(events.at(-1)!.data)).toStrictEqual({
      id: expect.stringMatching(requestId),
      agent: 'assistant',
      model: 'words',
      instance: 'words-1',
      provider: 'mock',
      finish_reason: 'stop',
      cache: 'bypass',
      attempts: 1,
      usage: { input_tokens: 7, output_tokens: 3, cost_usd: (7 * 2 + 3 * 10) / 1e6 },
      latency_ms: expect.any(Number),
    });
  });

  test('streams deltas and then exactly one error, which is of the one shape', async () => {
    const answer = await run({ agent: 'leakyStream', input: 'x', stream: true });
    expect(answer.status).toBe(200);
    const events = eventsOf(answer.text);
    expect(events.map(({ name }) => name)).toEqual(['delta', 'error']);
    expect(errorOf(JSON.parse(events[1]!.data))).toMatchObject({
      code: 'upstream_error',
      type: 'upstream',
      request_id: answer.headers.get('x-request-id'),
    });
  });

  test('answers an error that comes before the first delta as JSON, with its status', async () => {
    for (const stream of [false, true]) {
      const answer = await run({ agent: 'broken', input: 'x', stream });
      expect(answer.status).toBe(502);
      expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
      expect(errorOf(answer.json)).toMatchObject({
        code: 'upstream_error',
        request_id: expect.stringMatching(requestId),
      });
      expect(story(answer)).toMatchObject({ agent: 'broken', model: 'broken', instance: 'broken-1', attempts: '3' });
    }
  });

  test('sends the agent’s prompt, its parameters, and a text as the user’s message', async () => {
    await run({ input: 'Say hello' });
    expect(lastTo('words')).toEqual({
      model: 'words',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Say hello' },
      ],
      temperature: 0.2,
      max_tokens: 50,
    });
  });

  test('sends messages as they are, and lets the caller’s params win', async () => {
    const input = [
      { role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://example.com/x.png' } }] },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: '1', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: '1', content: 'done' },
    ];
    await run({ input, params: { temperature: 1, made_up: { yes: true } }, metadata: { secret: 'ours' } });
    expect(lastTo('words')).toEqual({
      model: 'words',
      messages: [{ role: 'system', content: 'Be brief.' }, ...input],
      temperature: 1,
      max_tokens: 50,
      made_up: { yes: true },
    });
  });

  test('runs the default agent where none is named', async () => {
    for (const body of [{ input: 'x' }, { input: 'x', agent: null }]) {
      expect((await run(body)).json).toMatchObject({ agent: 'assistant' });
    }
  });

  test('says that it does not know a price, never that it is 0', async () => {
    expect((await run({ agent: 'free', input: 'x' })).json).toMatchObject({
      usage: { input_tokens: 7, cost_usd: null },
    });
    const { text } = await run({ agent: 'free', input: 'x', stream: true });
    expect(JSON.parse(eventsOf(text).at(-1)!.data)).toMatchObject({ usage: { output_tokens: 3, cost_usd: null } });
  });

  test.for([
    ['an unknown field', { input: 'x', strem: true }, 'strem', 'Did you mean "stream"?'],
    ['no input', {}, 'input', 'input must be'],
    ['an empty input', { input: '' }, 'input', 'input must be'],
    ['a number as input', { input: 7 }, 'input', 'input must be'],
    ['a message without a role', { input: [{ content: 'x' }] }, /^input/, 'input must be'],
    ['a role that is none', { input: [{ role: 'robot', content: 'x' }] }, /^input/, 'input must be'],
    ['a stream that is neither true nor false', { input: 'x', stream: 'yes' }, 'stream', 'stream must be'],
    ['params that are a list', { input: 'x', params: [] }, 'params', 'params must be'],
    ['a model in params', { input: 'x', params: { model: 'gpt-5' } }, 'params.model', "can't be set"],
    ['a stream in params', { input: 'x', params: { stream: true } }, 'params.stream', "can't be set"],
  ] as const)('refuses %s and names the field', async ([, body, param, words]) => {
    const { status, json } = await run(body);
    expect(status).toBe(400);
    const error = errorOf(json);
    expect(error).toMatchObject({ code: 'invalid_request', type: 'invalid_request' });
    expect(error.param).toMatch(param);
    expect(error.message).toContain(words);
  });
});

describe('POST /v1/chat/completions', () => {
  test('relays the upstream’s own bytes', async () => {
    const answer = await chat({ model: 'words' });
    const direct = await post(`${upstream.url}/chat/completions`, undefined, { model: 'words' });
    expect(answer.text).toBe(direct.text);
    expect(story(answer)).toEqual({ agent: null, model: 'words', instance: 'words-1', cache: 'bypass', attempts: '1' });
    expect(answer.headers.get('server-timing')).toMatch(/^gateway;dur=.*, upstream;dur=/);
  });

  test.for([
    ['a model', 'words', { agent: null, model: 'words', instance: 'words-1' }],
    ['an agent', 'agent/assistant', { agent: 'assistant', model: 'words', instance: 'words-1' }],
    ['a provider’s own model', 'mock/words', { agent: null, model: 'mock/words', instance: 'mock' }],
    ['an agent on a provider’s own model', 'agent/direct', { agent: 'direct', model: 'mock/words', instance: 'mock' }],
  ] as const)('reaches %s by its name', async ([, model, expected]) => {
    for (const stream of [false, true]) {
      const answer = await chat({ model, stream });
      expect(answer.status).toBe(200);
      expect(story(answer)).toMatchObject(expected);
      expect(lastTo('words')).toMatchObject({ model: 'words' });
    }
  });

  test('sends upstream our key and headers, and nothing of the caller’s', async () => {
    await post(
      `${mizan.url}/v1/chat/completions`,
      token,
      { model: 'words', messages: [{ role: 'user', content: 'x' }] },
      {
        headers: { cookie: 'session=1', 'x-forwarded-for': '10.0.0.1', 'x-status': '500' },
      },
    );
    const { headers } = upstream.requestsTo('words').at(-1)!;
    expect(headers).toMatchObject({ authorization: `Bearer ${key}`, 'x-title': 'Tests' });
    expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(['cookie']));
    expect(headers['x-forwarded-for'] ?? headers['x-status']).toBeUndefined();
    expect(JSON.stringify(headers)).not.toContain(token);
  });

  test('ends its stream with the upstream’s terminator, and hides the usage that nobody asked for', async () => {
    const { text } = await chat({ model: 'words', stream: true });
    const events = eventsOf(text);
    expect(events.at(-1)).toEqual({ name: 'message', data: '[DONE]' });
    expect(events.filter(({ data }) => data === '[DONE]')).toHaveLength(1);
    expect(text).not.toContain('prompt_tokens');
  });

  test.for([
    ['model', { model: undefined }, 'model'],
    ['model', { model: '' }, 'model'],
    ['model', { model: 7 }, 'model'],
    ['messages', { model: 'words', messages: 'Hi' }, 'messages'],
    ['messages', { model: 'words', messages: ['Hi'] }, 'messages[0]'],
    ['messages', { model: 'words', messages: [{ content: 'Hi' }] }, 'messages[0].role'],
    ['stream', { model: 'words', stream: 'true' }, 'stream'],
    ['stream_options', { model: 'words', stream_options: [] }, 'stream_options'],
  ] as const)('refuses a wrong %s and names it', async ([, body, param]) => {
    const { status, json } = await chat(body);
    expect(status).toBe(400);
    expect(errorOf(json)).toMatchObject({ code: 'invalid_request', param });
  });
});

describe('a route', () => {
  test('answers HEAD like GET, without a body', async () => {
    for (const path of ['/healthz', '/readyz', '/v1/models', '/api/requests']) {
      const get = await ask(`${mizan.url}${path}`, { token });
      const head = await ask(`${mizan.url}${path}`, { token, method: 'HEAD' });
      expect([path, head.status, head.text]).toEqual([path, 200, '']);
      expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'));
    }
  });

  test.for([
    ['GET', '/ai-process', 'POST'],
    ['OPTIONS', '/ai-process', 'POST'],
    ['DELETE', '/v1/chat/completions', 'POST'],
    ['PUT', '/v1/models', 'GET'],
    ['POST', '/v1/models/words', 'GET'],
    ['PATCH', '/api/requests?limit=1', 'GET'],
    ['POST', '/healthz', 'GET'],
  ] as const)('answers %s %s with 405 and the methods there are', async ([method, path, allowed]) => {
    const { status, json, headers } = await ask(`${mizan.url}${path}`, { token, method });
    expect(status).toBe(405);
    expect(errorOf(json)).toMatchObject({ code: 'method_not_allowed', message: expect.stringContaining(allowed) });
    expect(headers.get('allow')?.split(', ')).toContain(allowed);
  });

  test('answers HEAD of what only takes POST with 405, without a body', async () => {
    const { status, text } = await ask(`${mizan.url}/ai-process`, { token, method: 'HEAD' });
    expect([status, text]).toEqual([405, '']);
  });

  test.for([
    ['/ai-proces', ' Did you mean "/ai-process"?'],
    ['/v1/chat/completion', ' Did you mean "/v1/chat/completions"?'],
    ['/ai-process/', ' Did you mean "/ai-process"?'],
    ['/nowhere/near/anything', '.'],
    ['/../../etc/passwd', '.'],
    ['/%2e%2e/%00', '.'],
  ] as const)('that is not there is said to be not there, with the nearest: %s', async ([path, ending]) => {
    const { status, json } = await ask(`${mizan.url}${path}`, { token });
    expect(status).toBe(404);
    const error = errorOf(json);
    expect(error).toMatchObject({ code: 'not_found', type: 'not_found' });
    expect(error.message.endsWith(ending)).toBe(true);
  });

  test('tells anybody that the process is alive and ready', async () => {
    expect(await ask(`${mizan.url}/healthz`)).toMatchObject({ status: 200, json: { status: 'ok' } });
    expect(await ask(`${mizan.url}/readyz`)).toMatchObject({ status: 200, json: { status: 'ready' } });
  });

  test('gives every request an id of its own, whatever the caller sends', async () => {
    const ids = new Set<string | null>();
    for (const path of ['/nowhere', '/v1/models', '/ai-process']) {
      const { headers } = await ask(`${mizan.url}${path}`, { headers: { 'x-request-id': 'mine' } });
      expect(headers.get('x-request-id')).toMatch(requestId);
      ids.add(headers.get('x-request-id'));
    }
    expect(ids.size).toBe(3);
  });
});

describe('an error', () => {
  test.for(['leaky', 'leakyStream', 'locked', 'broken'])('never shows our key for the upstream: %s', async (name) => {
    for (const stream of [true, false]) {
      for (const answer of [await chat({ model: name, stream }), await run({ agent: name, input: 'x', stream })]) {
        expect(answer.text).toContain('"error"');
        expect(answer.text).not.toContain(key);
        expect(JSON.stringify([...answer.headers])).not.toContain(key);
      }
    }
  });

  test('never shows a stack, a path or an address', async () => {
    const texts = await Promise.all([
      chat({ model: 'broken' }),
      chat({ model: 'locked' }),
      chat({ model: 'nowhere' }),
      run({ input: 7 }),
      ask(`${mizan.url}/v1/models`),
      ask(`${mizan.url}/%`),
    ]);
    for (const { text } of texts) {
      expect(text).not.toMatch(/node_modules|\bat .*\(|\.ts|\.js|127\.0\.0\.1/);
      expect(text).toContain('"error"');
    }
  });

  test('never repeats the credential it was sent', async () => {
    const secret = `mz_${'a'.repeat(16)}_${'b'.repeat(48)}`;
    expect((await run({ input: 'x' }, secret)).text).not.toContain('b'.repeat(48));
    const { text } = await ask(`${mizan.url}/v1/models`, { token: `${token}x` });
    expect(text).not.toContain(token.slice(-20));
  });
});
