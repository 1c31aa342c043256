import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ask, post } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { runMizan } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { completion, respond, startUpstream } from './support/model-service.ts';
import { startRedis } from './support/redis.ts';

vi.setConfig({ testTimeout: 60_000 });

/** Requests that the upstream has and doesn't answer, until the test says so. */
const held: (() => void)[] = [];
let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream({
    held: (_request, response) => {
      held.push(() => respond(response, 200, completion('abc')));
    },
  });
});

afterAll(() => upstream.close());

const config = (more: object = {}) => ({
  providers: { up: { kind: 'openai-compatible', baseUrl: upstream.url } },
  models: { held: { instances: [{ id: 'a', provider: 'up', model: 'held' }] } },
  limits: { all: { maxInFlight: 1 } },
  limiting: { queue: { waitMs: 30_000 } },
  ...more,
});

const body = { model: 'held', max_tokens: 3, messages: [{ role: 'user', content: 'Hi' }] };

/** Answers all that come until `over` is. */
async function answering<T>(over: Promise<T>): Promise<T> {
  const timer = setInterval(() => held.splice(0).forEach((answer) => answer()), 5);
  try {
    return await over;
  } finally {
    clearInterval(timer);
  }
}

const metric = async ({ metricsUrl }: Running, line: string): Promise<string | undefined> => {
  const { text } = await ask(`${metricsUrl}/metrics`);
  return text.split('\n').find((each) => each.startsWith(line));
};

const waiting = (mizan: Running, count: number): Promise<void> =>
  vi.waitFor(async () => {
    expect(await metric(mizan, 'mizan_queue_waiting{class="normal"}')).toBe(
      `mizan_queue_waiting{class="normal"} ${count}`,
    );
  }, 10_000);

describe('with a queue before the limits', () => {
  test('a request waits, is answered, and says so: in its head, in the log, in the metrics', async () => {
    const mizan = await runMizan(config());
    const token = await mizan.token();
    const url = `${mizan.url}/v1/chat/completions`;
    const first = post(url, token, body);
    await vi.waitFor(() => expect(held.length).toBe(1));
    const second = post(url, token, body);
    await waiting(mizan, 1);
    const answers = await answering(Promise.all([first, second]));
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    const [none, some] = answers.map(({ headers }) => /queue;dur=([\d.]+)/.exec(headers.get('server-timing') ?? ''));
    expect(none).toBeNull();
    expect(Number(some?.[1])).toBeGreaterThan(0);
    const rows = (await ask(`${mizan.url}/api/requests`, { token: await mizan.token({ role: 'viewer' }) })).json as {
      readonly requests: readonly { readonly queued_ms: number | null; readonly gateway_ms: number }[];
    };
    const [later, earlier] = rows.requests;
    expect(earlier?.queued_ms).toBeNull();
    expect(later?.queued_ms).toBeCloseTo(Number(some?.[1]), 0);
    expect(later?.gateway_ms).toBeGreaterThanOrEqual(later?.queued_ms ?? Infinity);
    await waiting(mizan, 0);
    const waits = 'mizan_queue_wait_seconds_count{class="normal",end="admitted"}';
    expect(await metric(mizan, waits)).toBe(`${waits} 1`);
    await mizan.end();
  });

  test('who goes away while waiting is gone at once, and costs nobody a turn', async () => {
    const mizan = await runMizan(config());
    const token = await mizan.token();
    const url = `${mizan.url}/v1/chat/completions`;
    const first = post(url, token, body);
    await vi.waitFor(() => expect(held.length).toBe(1));
    const leaving = new AbortController();
    const second = fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: leaving.signal,
    }).catch(() => 'gone');
    await waiting(mizan, 1);
    leaving.abort();
    await waiting(mizan, 0);
    expect(await second).toBe('gone');
    expect((await answering(first)).status).toBe(200);
    expect((await answering(post(url, token, body))).status).toBe(200);
    await mizan.end();
  });

  test('a Mizan that ends lets those finish who wait, as it does those who are answered', async () => {
    const mizan = await runMizan(config());
    const token = await mizan.token();
    const all = [1, 2, 3].map(() => post(`${mizan.url}/v1/chat/completions`, token, body));
    await waiting(mizan, 2);
    const ended = mizan.end();
    expect((await answering(Promise.all(all))).map(({ status }) => status)).toEqual([200, 200, 200]);
    await ended;
  });

  test('machines that share limits wait for what the other one gives back', async () => {
    const redis = await startRedis();
    const jwt = { secret: 'a secret of more than thirty-two bytes' };
    const limiting = { machines: 2, queue: { waitMs: 30_000 } };
    const shared = config({ redis: { url: redis.url }, auth: { jwt }, limiting });
    const machines = await Promise.all([runMizan(shared), runMizan(shared)]);
    const token = await machines[0].token();
    const send = (machine: Running) => post(`${machine.url}/v1/chat/completions`, token, body);
    for (const { url } of machines) {
      await vi.waitFor(async () => {
        expect((await ask(`${url}/readyz`)).json).not.toHaveProperty('degraded');
      }, 15_000);
    }
    const first = send(machines[0]);
    await vi.waitFor(() => expect(held.length).toBe(1), 10_000);
    const others = [send(machines[1]), send(machines[1]), send(machines[0])];
    await waiting(machines[1], 2);
    const answers = await answering(Promise.all([first, ...others]));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    await Promise.all(machines.map((machine) => machine.end()));
    await redis.end();
  });
});

test('without a queue a request is refused at once, and nothing is said of waiting', async () => {
  const mizan = await runMizan(config({ limiting: {} }));
  const token = await mizan.token();
  const url = `${mizan.url}/v1/chat/completions`;
  const first = post(url, token, body);
  await vi.waitFor(() => expect(held.length).toBe(1));
  const { status, headers } = await post(url, token, body);
  expect(status).toBe(429);
  expect(headers.get('server-timing')).not.toContain('queue');
  expect(await metric(mizan, 'mizan_queue_waiting')).toBeUndefined();
  expect((await answering(first)).status).toBe(200);
  await mizan.end();
});
