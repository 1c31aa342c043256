import OpenAI, {
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
} from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Running } from './support/mizan.ts';
import { runMizan } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { beginStream, event, fails, startUpstream } from './support/model-service.ts';
import { clientOf, mocked } from './support/openai-client.ts';

const key = 'sk-upstream-0123456789';
let upstream: Upstream;
let mizan: Running;
let client: OpenAI;

beforeAll(async () => {
  upstream = await startUpstream({
    limited: fails(429, 'Slow down', { 'retry-after': '7' }),
    broken: fails(500),
    overloaded: fails(503),
    badly: fails(400, 'temperature is too high'),
    large: fails(422, 'This picture is no picture'),
    locked: fails(401, `Incorrect API key provided: ${key}`),
    breaking: (_request, response) => {
      beginStream(response);
      response.write(event({ content: 'Half of' }));
      response.end('data: {"error": {"message": "The GPU is on fire", "type": "server_error"}}\n\n');
    },
    cut: (_request, response) => {
      beginStream(response);
      response.write(event({ content: 'Half of' }), () => response.destroy());
    },
    endless: (_request, response) => {
      beginStream(response);
      response.write(event({ content: 'Once' }));
    },
  });
  mizan = await runMizan({
    providers: {
      sim: { kind: 'simulator' },
      mock: { kind: 'openai-compatible', baseUrl: upstream.url, apiKey: key },
    },
    models: {
      simulated: { instances: [{ id: 'sim', provider: 'sim', model: 'simulator' }] },
      limited: mocked('limited'),
      broken: mocked('broken'),
      overloaded: mocked('overloaded'),
      badly: mocked('badly'),
      large: mocked('large'),
      locked: mocked('locked'),
      breaking: mocked('breaking'),
      cut: mocked('cut'),
      endless: mocked('endless'),
      nowhere: {},
    },
    agents: {
      assistant: { model: 'simulated', system: 'You are helpful.' },
      poet: { model: 'simulated', system: 'You are a poet.' },
    },
  });
  client = await clientOf(mizan);
});

afterAll(async () => {
  await mizan.end();
  await upstream.close();
});

const messages = [{ role: 'user', content: 'ما هو الميزان؟' }] as const;

/** What the client raises, which has to be an error of its own kind. */
async function raised(asking: PromiseLike<unknown>): Promise<APIError> {
  try {
    await asking;
  } catch (error) {
    if (error instanceof APIError) return error;
    throw error;
  }
  throw new Error('nothing was raised');
}

describe('the official client raises', () => {
  const chat = (model: string, from = client) => from.chat.completions.create({ model, messages: [...messages] });

  test('AuthenticationError for a key that is not ours', async () => {
    const stranger = new OpenAI({ baseURL: `${mizan.url}/v1`, apiKey: 'sk-of-somebody-else', maxRetries: 0 });
    for (const ask of [() => chat('simulated', stranger), () => stranger.models.list()]) {
      const error = await raised(ask());
      expect(error).toBeInstanceOf(AuthenticationError);
      expect(error).toMatchObject({ status: 401, code: 'invalid_token', type: 'authentication', param: null });
    }
  });

  test('PermissionDeniedError for a role that may only look, and for a model beside one’s agents', async () => {
    for (const [grant, model] of [
      [{ role: 'viewer' }, 'simulated'],
      [{ agents: ['poet'] }, 'simulated'],
      [{ agents: ['poet'] }, 'sim/simulator'],
      [{ agents: ['poet'] }, 'agent/assistant'],
    ] as const) {
      const error = await raised(chat(model, await clientOf(mizan, grant)));
      expect(error).toBeInstanceOf(PermissionDeniedError);
      expect(error).toMatchObject({ status: 403, code: 'forbidden', type: 'permission' });
    }
  });

  test.for([
    ['a model', 'simulatd', 'unknown_model', 'simulated'],
    ['an agent', 'agent/asistant', 'unknown_agent', 'assistant'],
  ] as const)('NotFoundError for %s that is not there, and the nearest name', async ([, model, code, nearest]) => {
    const error = await raised(chat(model));
    expect(error).toBeInstanceOf(NotFoundError);
    expect(error).toMatchObject({ status: 404, code, param: 'model' });
    expect(error.message).toContain(`Did you mean "${nearest}"?`);
  });

  test('NotFoundError where the provider has no such model', async () => {
    const error = await raised(chat('mock/imaginary'));
    expect(error).toBeInstanceOf(NotFoundError);
    expect(error).toMatchObject({ status: 404, code: 'unknown_model' });
  });

  test('BadRequestError for a request that is none, naming the field', async () => {
    const error = await raised(client.chat.completions.create({ model: 'simulated', messages: [] }));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, code: 'invalid_request', param: 'messages' });
  });

  test('BadRequestError in the words of an upstream that refused the request', async () => {
    const error = await raised(chat('badly'));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, code: 'upstream_rejected' });
    expect(error.message).toContain('temperature is too high');
    expect(await raised(chat('large'))).toMatchObject({ status: 422, code: 'upstream_rejected' });
  });

  test('RateLimitError with the upstream’s own Retry-After', async () => {
    const error = await raised(chat('limited'));
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({ status: 429, code: 'upstream_rate_limited', type: 'rate_limit' });
    expect(error.headers?.get('retry-after')).toBe('7');
  });

  test.for([
    ['broken', 502, 'upstream_error'],
    ['overloaded', 502, 'upstream_error'],
    ['locked', 502, 'upstream_unauthorized'],
    ['nowhere', 503, 'no_healthy_instance'],
  ] as const)('InternalServerError where %s is asked, with status %d', async ([model, status, code]) => {
    const error = await raised(chat(model));
    expect(error).toBeInstanceOf(InternalServerError);
    expect(error).toMatchObject({ status, code });
    expect(JSON.stringify(error.error)).not.toContain(key);
    expect(error.requestID).toMatch(/^req_/);
    expect(error.error).toMatchObject({ request_id: error.requestID });
  });

  test.for([
    ['breaking', 'upstream_error', 'The GPU is on fire'],
    ['cut', 'upstream_truncated', 'mock'],
  ] as const)('APIError out of the middle of a stream of %s, and finishes nothing', async ([model, code, words]) => {
    const stream = await client.chat.completions.create({ model, messages: [...messages], stream: true });
    let text = '';
    const finishes: unknown[] = [];
    const error = await raised(
      (async () => {
        for await (const { choices } of stream) {
          text += choices[0]?.delta.content ?? '';
          if (choices[0]?.finish_reason) finishes.push(choices[0].finish_reason);
        }
      })(),
    );
    expect(text).toBe('Half of');
    expect(finishes).toEqual([]);
    expect(error).toMatchObject({ code, type: 'upstream' });
    expect(error.message).toContain(words);
  });

  test.for(['breaking', 'cut'])('APIError from the helper that waits for a whole stream of %s', async (model) => {
    const helper = client.chat.completions.stream({ model, messages: [...messages] });
    expect(await raised(helper.finalChatCompletion())).toBeInstanceOf(APIError);
  });

  test('APIUserAbortError where the caller aborts, which reaches the upstream within a second', async () => {
    const stream = client.chat.completions.stream({ model: 'endless', messages: [...messages] });
    const received = await upstream.next('endless');
    await stream.emitted('content');
    const abortedAt = performance.now();
    stream.abort();
    expect(await raised(stream.done())).toBeInstanceOf(APIUserAbortError);
    expect((await received.closed) - abortedAt).toBeLessThan(1000);
  });
});
