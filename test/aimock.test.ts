import { LLMock } from '@copilotkit/aimock';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { dialects } from './support/dialects.ts';
import { ask, errorOf, eventsOf, post, readProcessStream } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { everInUse, runMizan } from './support/mizan.ts';

const key = 'sk-aimock-0123456789';
const greeting = 'السلام عليكم 👋🏽 — welcome to a service that somebody else wrote.';
const weatherIn = '{"city":"مكة المكرمة","days":3}';
let mock: LLMock;
let mizan: Running;
let token: string;

/** What it is made to fail with; each way to ask has a model of its own, which nobody else has had paused. */
const failing = [
  { input: 'break', status: 502, code: 'upstream_error', words: 'Something broke' },
  { input: 'nobody expects this', status: 404, code: 'unknown_model', words: 'No fixture matched' },
  // The last: it pauses the models for as long as it says.
  { input: 'too much', status: 429, code: 'upstream_rate_limited', words: 'Slow down' },
] as const;
const ways = dialects.flatMap(({ path, body }) => [true, false].map((stream) => ({ path, body, stream })));

beforeAll(async () => {
  mock = new LLMock({ port: 0, chunkSize: 3, auth: { apiKeys: [key] } });
  mock.onMessage('hello', { content: greeting, usage: { prompt_tokens: 11, completion_tokens: 22 } });
  mock.onMessage('weather', { toolCalls: [{ name: 'get_weather', arguments: weatherIn, id: 'call_1' }] });
  mock.onMessage('too much', { error: { message: 'Slow down', type: 'rate_limit_error' }, status: 429, retryAfter: 9 });
  mock.onMessage('break', { error: { message: 'Something broke', type: 'server_error' }, status: 500 });
  mock.onMessage('cut', { content: greeting }, { latency: 5, truncateAfterChunks: 4 });
  await mock.start();
  const provider = { kind: 'openai-compatible', baseUrl: `${mock.url}/v1` };
  const model = { instances: [{ id: 'a', provider: 'aimock', model: 'gpt-5' }], health: everInUse };
  const own = ways.map((_, way) => [`own-${way}`, model] as const);
  mizan = await runMizan({
    providers: { aimock: { ...provider, apiKey: key }, locked: { ...provider, apiKey: 'sk-another' } },
    models: {
      theirs: model,
      patient: model,
      ...Object.fromEntries(own),
      shut: { instances: [{ id: 'a', provider: 'locked', model: 'gpt-5' }] },
    },
    agents: { assistant: { model: 'theirs' }, ...Object.fromEntries(own.map(([id]) => [id, { model: id }])) },
    defaultAgent: 'assistant',
  });
  token = await mizan.token();
});

afterEach(() => mock.clearRequests());

afterAll(async () => {
  await mizan.end();
  await mock.stop();
});

const run = (input: string, stream = false) => post(`${mizan.url}/ai-process`, token, { input, stream });

const chat = (content: string, more: object = {}) =>
  post(`${mizan.url}/v1/chat/completions`, token, {
    model: 'theirs',
    messages: [{ role: 'user', content }],
    ...more,
  });

/** What the mock itself answers to the same request, without Mizan. */
const direct = (content: string, more: object = {}) =>
  ask(`${mock.url}/v1/chat/completions`, {
    method: 'POST',
    token: key,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-5', messages: [{ role: 'user', content }], ...more }),
  });

/** Without what is different in every answer. */
const timeless = (text: string) => text.replaceAll(/"(id":"chatcmpl-[^"]+|created":\d+)/g, '"');

describe('a service that somebody else wrote', () => {
  test('answers a chat', async () => {
    const { status, json } = await run('hello');
    expect(status).toBe(200);
    expect(json).toMatchObject({
      provider: 'aimock',
      output: greeting,
      finish_reason: 'stop',
      usage: { input_tokens: 11, output_tokens: 22, cost_usd: null },
    });
  });

  test('answers as it does without Mizan, streamed and not', async () => {
    for (const more of [{}, { stream: true, stream_options: { include_usage: true } }]) {
      const through = await chat('hello', more);
      const without = await direct('hello', more);
      expect(through.headers.get('content-type')).toContain(without.headers.get('content-type')!.split(';')[0]);
      expect(timeless(through.text)).toBe(timeless(without.text));
    }
  });

  test('streams the same answer to an agent’s caller', async () => {
    const { output, last, endings } = readProcessStream((await run('hello', true)).text);
    expect(output).toBe(greeting);
    expect(endings).toBe(1);
    expect(last.name).toBe('done');
    expect(JSON.parse(last.data)).toMatchObject({
      finish_reason: 'stop',
      usage: { input_tokens: 11, output_tokens: 22, cost_usd: null },
    });
  });

  test('calls a tool, streamed and not', async () => {
    const { json } = await run('weather');
    expect(json).toMatchObject({
      output: '',
      finish_reason: 'tool_calls',
      tool_calls: [{ id: 'call_1', function: { name: 'get_weather', arguments: weatherIn } }],
    });
    const events = eventsOf((await run('weather', true)).text);
    const pieces = events.filter(({ name }) => name === 'delta').map(({ data }) => JSON.parse(data) as ToolDelta);
    expect(pieces.length).toBeGreaterThan(2);
    expect(pieces.map(({ tool_calls: [call] }) => call.function.arguments ?? '').join('')).toBe(weatherIn);
    expect(events.at(-1)).toMatchObject({
      name: 'done',
      data: expect.stringContaining('"finish_reason":"tool_calls"'),
    });
  });

  test.for(failing)('fails on “$input” with status $status', async ({ input, status, code, words }) => {
    for (const [way, { path, body, stream }] of ways.entries()) {
      const asked = path === '/ai-process' ? { input } : { messages: [{ role: 'user', content: input }] };
      const answer = await post(`${mizan.url}${path}`, token, { ...body(`own-${way}`, { stream }), ...asked });
      expect(answer.status).toBe(status);
      expect(errorOf(answer.json)).toMatchObject({ code, message: expect.stringContaining(words) });
    }
  });

  test('is obeyed when it says how long to wait', async () => {
    const first = await chat('too much', { model: 'patient' });
    expect([first.status, first.headers.get('retry-after')]).toEqual([429, '9']);
    const asked = mock.getRequests().length;
    const second = await chat('hello', { model: 'patient' });
    expect([second.status, errorOf(second.json).code]).toEqual([503, 'no_healthy_instance']);
    expect(Number(second.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(mock.getRequests()).toHaveLength(asked);
  });

  test('that refuses our key is the operator’s matter, not the caller’s', async () => {
    const { status, json, text } = await chat('hello', { model: 'shut' });
    expect(status).toBe(502);
    expect(errorOf(json)).toMatchObject({ code: 'upstream_unauthorized', message: expect.stringContaining('locked') });
    expect(text).not.toContain('sk-another');
  });

  test('that cuts its stream is not reported as done', async () => {
    const { output, last, endings } = readProcessStream((await run('cut', true)).text);
    expect(greeting.startsWith(output)).toBe(true);
    expect(output).not.toBe('');
    expect(output).not.toBe(greeting);
    expect(endings).toBe(1);
    expect(last.name).toBe('error');
    expect(errorOf(JSON.parse(last.data))).toMatchObject({ code: 'upstream_truncated' });
  });
});

interface ToolDelta {
  readonly tool_calls: readonly [{ readonly function: { readonly arguments?: string } }];
}
