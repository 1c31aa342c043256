import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dialects } from './support/dialects.ts';
import type { Row } from './support/http.ts';
import { ask, openStream, post, rows, wire } from './support/http.ts';
import type { Upstream } from './support/model-service.ts';
import { beginStream, event, fails, says, startUpstream } from './support/model-service.ts';
import type { Running } from './support/mizan.ts';
import { runMizan } from './support/mizan.ts';

let upstream: Upstream;
let mizan: Running;

beforeAll(async () => {
  upstream = await startUpstream({
    talking: (_request, response) => {
      beginStream(response);
      response.write(event({ content: 'One' }));
      response.write(event({ content: ' two' }));
    },
    silent: () => {},
    clearing: (_request, response) => beginStream(response),
    half: (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"choices":[{"message":{"content":"Half');
    },
    broken: fails(500),
    warm: says('Ready'),
    second: says('Never asked'),
  });
  const mocked = (id: string) => ({ id, provider: 'mock', model: id });
  const first = (id: string, then = 'second') => ({ instances: [{ ...mocked(id), weight: 1000 }, mocked(then)] });
  const models = {
    talking: first('talking'),
    silent: first('silent'),
    clearing: first('clearing'),
    half: first('half'),
    broken: first('broken', 'silent'),
    warm: { instances: [mocked('warm')] },
  };
  mizan = await runMizan({
    providers: { mock: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models,
    agents: Object.fromEntries(Object.keys(models).map((model) => [model, { model }])),
  });
  // The first request of all is slow, which is not what is measured here.
  const token = await mizan.token();
  for (const { path, body } of dialects) {
    for (const stream of [true, false]) await post(`${mizan.url}${path}`, token, body('warm', { stream }));
  }
});

afterAll(async () => {
  await mizan.end();
  await upstream.close();
});

/** The only row of a tenant that asked once. Its caller left, so that nobody tells when it is there: we look until. */
async function onlyRow(token: string): Promise<Row> {
  for (;;) {
    const [row, ...others] = await rows(mizan.url, token);
    if (others.length > 0) throw new Error('more than one row');
    if (row !== undefined) return row;
  }
}

const nothingCounted = { input_tokens: null, output_tokens: null, cost_usd: null, source: 'none' };

describe.for(dialects)('a caller of $path who leaves', ({ path, body }) => {
  const tokenFor = (tenant: string) => mizan.token({ tenant: `${path} ${tenant}` });

  test('in the middle of a stream has it ended upstream within a second, and what came so far recorded', async () => {
    const token = await tokenFor('mid-stream');
    const stream = await openStream(`${mizan.url}${path}`, token, body('talking'));
    const received = await upstream.next('talking');
    await stream.until(/two/);
    const leftAt = performance.now();
    stream.leave();
    expect((await received.closed) - leftAt).toBeLessThan(1000);
    expect(await onlyRow(token)).toMatchObject({
      id: stream.response.headers.get('x-request-id'),
      status: 499,
      error_code: 'client_closed',
      attempts: 1,
      instance: 'talking',
      stream: true,
      finish_reason: null,
      usage: { input_tokens: null, output_tokens: 2, cost_usd: null, source: 'received' },
      first_token_ms: expect.any(Number),
    });
  });

  test.for([
    ['before the first token', 'clearing', true],
    ['before the head of a stream', 'silent', true],
    ['before the head of an answer', 'silent', false],
    ['in the middle of an answer', 'half', false],
  ] as const)('%s has it ended upstream within a second', async ([when, model, stream]) => {
    const token = await tokenFor(when);
    const abort = new AbortController();
    const asking = fetch(`${mizan.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body(model, { stream })),
      signal: abort.signal,
    });
    const left = asking.then(() => 'answered', String);
    const received = await upstream.next(model);
    const leftAt = performance.now();
    abort.abort();
    expect(await left).toContain('AbortError');
    expect((await received.closed) - leftAt).toBeLessThan(1000);
    expect(await onlyRow(token)).toMatchObject({
      status: 499,
      error_code: 'client_closed',
      attempts: 1,
      instance: model,
      stream,
      usage: nothingCounted,
    });
  });

  test('during the second attempt has that ended too', async () => {
    const token = await tokenFor('second attempt');
    const abort = new AbortController();
    const asking = fetch(`${mizan.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body('broken', { stream: false })),
      signal: abort.signal,
    });
    const left = asking.then(() => 'answered', String);
    const received = await upstream.next('silent');
    const leftAt = performance.now();
    abort.abort();
    expect(await left).toContain('AbortError');
    expect((await received.closed) - leftAt).toBeLessThan(1000);
    expect(await onlyRow(token)).toMatchObject({ status: 499, attempts: 2, instance: 'silent', usage: nothingCounted });
  });

  test('by destroying its connection is no different', async () => {
    const token = await tokenFor('destroyed');
    const asked = JSON.stringify(body('talking'));
    const { socket, until } = await wire(mizan.url);
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${Buffer.byteLength(asked)}\r\n\r\n${asked}`,
    );
    const received = await upstream.next('talking');
    await until(/two/);
    const leftAt = performance.now();
    socket.resetAndDestroy();
    expect((await received.closed) - leftAt).toBeLessThan(1000);
    expect(await onlyRow(token)).toMatchObject({ status: 499, usage: { output_tokens: 2 } });
  });
});

test('no instance was asked after a caller had left, and none of it counts against an instance', async () => {
  expect(upstream.requestsTo('second')).toEqual([]);
  const { text } = await ask(`${mizan.metricsUrl}/metrics`);
  const samples = text.split('\n');
  for (const name of ['talking', 'silent', 'clearing', 'half']) {
    expect(samples).toContain(`mizan_instance_up{instance="${name}",model="${name}"} 1`);
    expect(
      samples.find((line) => line.includes(`instance="${name}",model="${name}",outcome="cancelled"`)),
    ).toBeDefined();
  }
  expect(samples).toContain('mizan_requests_in_flight 0');
  expect(samples).toContain('mizan_requests_total{agent="talking",model="talking",instance="talking",status="499"} 2');
});
