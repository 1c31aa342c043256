import { once } from 'node:events';
import { connect } from 'node:net';
import OpenAI, { APIConnectionError, BadRequestError, InternalServerError, RateLimitError } from 'openai';
import { afterEach, expect, test } from 'vitest';
import { SetupError } from '../../core/errors.ts';
import { startSimulator, type SimulatorServer, type SimulatorServerSettings } from './server.ts';

const running: SimulatorServer[] = [];

async function start(options: SimulatorServerSettings['options'] = {}): Promise<SimulatorServer> {
  const simulator = await startSimulator({ options });
  running.push(simulator);
  return simulator;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((simulator) => simulator.close()));
});

const messages = [{ role: 'user' as const, content: 'Say hello' }];
const hello = { model: 'fast', messages };
const streamed = { ...hello, stream: true as const };

function post(
  { url }: SimulatorServer,
  body: unknown,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers,
    body: typeof body === 'string' ? body : JSON.stringify(body),
    signal: signal ?? null,
  });
}

/** How the reading of a response ends: `complete`, or the name of its error. */
async function endOf(response: Promise<Response>): Promise<string> {
  try {
    await (await response).text();
    return 'complete';
  } catch (error) {
    return error instanceof Error ? error.name : 'unknown';
  }
}

function client({ url }: SimulatorServer, fault?: string): OpenAI {
  const defaultHeaders = fault === undefined ? {} : { 'x-simulate-fault': fault };
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'anything', maxRetries: 0, defaultHeaders });
}

test('the official client gets an answer', async () => {
  const completion = await client(await start()).chat.completions.create(hello);
  expect(completion.choices[0]?.message.content).toContain('“Say hello”');
  expect(completion.choices[0]?.finish_reason).toBe('stop');
  expect(completion).toHaveProperty('_request_id', 'req_sim00000001');
});

test('the official client gets a stream, with usage', async () => {
  const stream = await client(await start()).chat.completions.create({
    ...streamed,
    stream_options: { include_usage: true },
  });
  let text = '';
  let deltas = 0;
  let usage: OpenAI.CompletionUsage | null | undefined;
  for await (const chunk of stream) {
    const delta = chunk.choices[0]?.delta.content ?? '';
    if (delta !== '') deltas++;
    text += delta;
    usage = chunk.usage ?? usage;
  }
  expect(text).toContain('“Say hello”');
  expect(usage?.completion_tokens).toBe(deltas);
});

test('the official client runs a tool and hears what came of it', async () => {
  const runner = client(await start()).chat.completions.runTools({
    model: 'fast',
    messages: [{ role: 'user', content: 'What is the weather in Riyadh?' }],
    stream: true,
    tools: [
      {
        type: 'function',
        function: {
          name: 'get_weather',
          description: 'The weather of a city.',
          parameters: { type: 'object', properties: { city: { type: 'string', minLength: 1 } }, required: ['city'] },
          parse: JSON.parse as (text: string) => { city: string },
          function: ({ city }: { city: string }) => `sunny in ${city}`,
        },
      },
    ],
  });
  expect(await runner.finalContent()).toContain('“sunny in text”');
});

const errors: [fault: string, kind: new (...args: never[]) => Error][] = [
  ['status; code=429; retryAfter=1', RateLimitError],
  ['status; code=503', InternalServerError],
  ['status; code=400', BadRequestError],
  ['refuse', APIConnectionError],
  ['reset', APIConnectionError],
];

test.each(errors)('with the fault %j the official client throws its own kind of error', async (fault, kind) => {
  await expect(client(await start(), fault).chat.completions.create(hello)).rejects.toBeInstanceOf(kind);
});

test('an error inside a stream reaches the official client', async () => {
  const stream = await client(await start(), 'error-event; after=2').chat.completions.create(streamed);
  const read = async (): Promise<void> => {
    for await (const chunk of stream) expect(chunk.object).toBe('chat.completion.chunk');
  };
  await expect(read()).rejects.toThrow('simulated');
});

test('the official client lists the models', async () => {
  const models = await client(await start()).models.list();
  expect(models.data.map(({ id }) => id)).toEqual(['simulator']);
});

const routes: [method: string, path: string, status: number, body: object][] = [
  ['GET', '/healthz', 200, { status: 'ok' }],
  ['GET', '/stats?now', 200, { started: 0, finished: 0, aborted: 0, inFlight: 0 }],
  ['GET', '/v1/chat/completions', 404, { error: { type: 'invalid_request_error', code: 'unknown_url' } }],
  ['POST', '/v1/embeddings', 404, { error: { message: 'Unknown request URL: POST /v1/embeddings.' } }],
];

test.each(routes)('%s %s is answered with %i', async (method, path, status, body) => {
  const response = await fetch(`${(await start()).url}${path}`, { method });
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject(body);
});

test('a fault that is not understood is a 400 that says what was expected', async () => {
  const response = await post(await start(), hello, { 'x-simulate-fault': 'cutt; after=1' });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    error: { param: 'x-simulate-fault', message: expect.stringContaining('Did you mean "cut"?') as string },
  });
});

test('the header’s faults stand in for the configured ones', async () => {
  const simulator = await start({ faults: [{ kind: 'status', code: 500 }] });
  expect((await post(simulator, hello)).status).toBe(500);
  expect((await post(simulator, hello, { 'x-simulate-fault': 'status; code=418' })).status).toBe(418);
  expect((await post(simulator, hello, { 'x-simulate-fault': 'status; rate=0' })).status).toBe(200);
});

test('a body over 10 MiB is refused with 413', async () => {
  const simulator = await start();
  const response = await post(simulator, 'x'.repeat(10 * 1024 * 1024 + 1));
  expect(response.status).toBe(413);
  expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error' } });
  expect(
    (
      await post(
        simulator,
        `{"model":"m","messages":[{"role":"user","content":"${'x'.repeat(10 * 1024 * 1024 - 100)}"}]}`,
      )
    ).status,
  ).toBe(200);
});

test('an answer that is cut ends short of its announced length', async () => {
  const response = await post(await start(), hello, { 'x-simulate-fault': 'cut; after=5' });
  expect(response.status).toBe(200);
  await expect(response.text()).rejects.toThrow('terminated');
});

test('a stream that is cut delivers what came before, to the byte, and no proper end', async () => {
  const response = await post(await start(), streamed, { 'x-simulate-fault': 'cut; after=2; byte=9' });
  let text = '';
  const read = async (): Promise<void> => {
    for await (const chunk of response.body!) text += Buffer.from(chunk).toString();
  };
  await expect(read()).rejects.toThrow('terminated');
  expect(text.split('\n\n')).toHaveLength(4);
  expect(text).toMatch(/\n\ndata: {"i$/);
});

test('a stream without its terminator ends properly on the wire', async () => {
  const response = await post(await start(), streamed, { 'x-simulate-fault': 'no-terminator' });
  expect(await response.text()).not.toMatch(/\[DONE\]|"finish_reason":"/);
});

test('the head of an answer that stalls is there at once', async () => {
  const abort = new AbortController();
  const response = await post(await start(), hello, { 'x-simulate-fault': 'stall' }, abort.signal);
  expect(response.status).toBe(200);
  abort.abort();
});

const leaving: [when: string, fault: string][] = [
  ['before its head', 'slow-headers; ms=60000'],
  ['in the middle of it', 'stall; after=3'],
];

test.each(leaving)('a client that leaves its answer %s is noticed within a second', async (_, fault) => {
  const simulator = await start();
  const abort = new AbortController();
  const answer = endOf(post(simulator, streamed, { 'x-simulate-fault': fault }, abort.signal));
  await expect.poll(() => simulator.stats(), { timeout: 10_000 }).toMatchObject({ started: 1, inFlight: 1 });
  abort.abort();
  expect(await answer).toBe('AbortError');
  await expect
    .poll(() => simulator.stats(), { timeout: 1000 })
    .toEqual({ started: 1, finished: 0, aborted: 1, inFlight: 0 });
  const stats = await fetch(`${simulator.url}/stats`);
  expect(await stats.json()).toEqual(simulator.stats());
});

test('a client that reads slowly holds the answer back, and gets all of it in the end', async () => {
  const schema = { type: 'string', minLength: 20_000 };
  const model = 'm'.repeat(256);
  const body = JSON.stringify({
    messages,
    model,
    response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
    stream: true,
  });
  const simulator = await start();
  const { hostname, port } = new URL(simulator.url);
  const socket = connect(Number(port), hostname);
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  await once(socket, 'readable');
  socket.pause();
  expect(simulator.stats()).toMatchObject({ started: 1, inFlight: 1 });
  let end = '';
  for await (const chunk of socket) end = (end + String(chunk)).slice(-100);
  expect(end).toContain('data: [DONE]\n\n\r\n0\r\n\r\n');
  expect(simulator.stats()).toMatchObject({ finished: 1, inFlight: 0 });
});

test('close() cuts what is under way and frees the port', async () => {
  const simulator = await startSimulator();
  const answer = endOf(post(simulator, streamed, { 'x-simulate-fault': 'stall; after=3' }));
  await expect.poll(() => simulator.stats().inFlight, { timeout: 10_000 }).toBe(1);
  await simulator.close();
  expect(await answer).toBe('TypeError');
  const again = await startSimulator({ port: Number(new URL(simulator.url).port) });
  await again.close();
});

test('a port that is taken is said in one line', async () => {
  const { url } = await start();
  const second = startSimulator({ port: Number(new URL(url).port) });
  await expect(second).rejects.toThrow(SetupError);
  await expect(second).rejects.toThrow(/^Can't listen on 127\.0\.0\.1:\d+: the port is taken\.$/);
});
