import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dialects } from './support/dialects.ts';
import type { Row } from './support/http.ts';
import { ask, post, rows } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { everInUse, runMizan } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { says, startUpstream } from './support/model-service.ts';

let upstream: Upstream;
let mizan: Running;
/** For looking on, not for asking. */
let token: string;

/** Instances in the order in which they are asked; each asks for an upstream model of its own name. */
const inOrder = (...ids: readonly string[]) => ({
  strategy: 'priority',
  instances: ids.map((id, i) => ({ id, provider: 'mock', model: id, priority: i + 1 })),
});

const hedge = { afterMs: 100, maxShare: 1 };

beforeAll(async () => {
  const silent = () => {};
  upstream = await startUpstream({ good: says('good'), slow: silent, slower: silent, busy: silent });
  const models = {
    hedged: { ...inOrder('slow', 'good'), hedge },
    slow: { ...inOrder('slow', 'slower', 'good'), hedge, health: everInUse },
    queued: { instances: [{ id: 'busy', provider: 'mock', model: 'busy', maxInFlight: 1 }] },
  };
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

/** The words of an answer, streamed or not. */
function wordsOf(json: unknown): string {
  const { output, choices } = json as {
    readonly output?: string;
    readonly choices?: readonly { readonly message: { readonly content: string } }[];
  };
  return output ?? choices![0]!.message.content;
}

/** Until so many wait for an instance of the model. */
async function waiting(model: string, count: number): Promise<void> {
  for (;;) {
    const { json } = await post(`${mizan.url}/api/route/explain`, token, {
      model,
      messages: [{ role: 'user', content: 'x' }],
    });
    if ((json as { readonly models: readonly { readonly waiting: number }[] }).models[0]!.waiting === count) return;
  }
}

describe.for(dialects.flatMap((dialect) => [true, false].map((stream) => ({ ...dialect, stream }))))(
  'a hedge on $path with stream: $stream',
  ({ path, body, readStream, stream }) => {
    test('answers where the first is slow, which is left within a second; it is one request', async () => {
      const mine = await mizan.token({ tenant: `${path} ${stream}` });
      const answer = await post(`${mizan.url}${path}`, mine, body('hedged', { stream }));
      const answeredAt = performance.now();
      expect([answer.status, answer.headers.get('x-mizan-instance')]).toEqual([200, 'good']);
      const words = stream ? readStream(answer.text) : { output: wordsOf(answer.json), isComplete: true };
      expect(words).toMatchObject({ output: 'good', isComplete: true });
      const slow = await upstream.next('slow');
      expect((await slow.closed) - answeredAt).toBeLessThan(1000);
      const [row, ...others] = await rows(mizan.url, mine);
      expect(others).toEqual([]);
      expect(row).toMatchObject({ status: 200, instance: 'good', attempts: 2, usage: { source: 'upstream' } });
      const { json } = await ask(`${mizan.url}/api/requests/${row!.id}`, { token: mine });
      const steps = (json as Row).trail!.map(({ instance: id, purpose, outcome }) => `${id}: ${purpose}, ${outcome}`);
      expect(steps.toSorted((a, b) => a.localeCompare(b))).toEqual(['good: hedge, ok', 'slow: first, cancelled']);
      // The wait for the first is an upstream's time, not Mizan's. Timers may be a millisecond early.
      expect(row!.upstream_ms).toBeGreaterThanOrEqual(hedge.afterMs - 1);
    });

    test('is left within a second with the one it was to help, where the caller leaves', async () => {
      const mine = await mizan.token({ tenant: `leaving ${path} ${stream}` });
      const before = upstream.requestsTo('good').length;
      const abort = new AbortController();
      const left = post(`${mizan.url}${path}`, mine, body('slow', { stream }), { signal: abort.signal }).catch(String);
      const asked = await Promise.all([upstream.next('slow'), upstream.next('slower')]);
      const leftAt = performance.now();
      abort.abort();
      expect(await left).toContain('AbortError');
      for (const { closed } of asked) expect((await closed) - leftAt).toBeLessThan(1000);
      expect(await onlyRow(mine)).toMatchObject({
        status: 499,
        error_code: 'client_closed',
        attempts: 2,
        usage: { input_tokens: null, output_tokens: null, source: 'none' },
      });
      expect(upstream.requestsTo('good')).toHaveLength(before);
    });
  },
);

test('a hedge’s loser is counted as cancelled, and is not held against its instance', async () => {
  const { text } = await ask(`${mizan.metricsUrl}/metrics`);
  expect(text).toMatch(/^mizan_attempts_total\{instance="slow",model="hedged",outcome="cancelled"\} 4$/m);
  expect(text).toMatch(/^mizan_attempts_total\{instance="good",model="hedged",outcome="ok"\} 4$/m);
  expect(text).toContain('mizan_instance_up{instance="slow",model="hedged"} 1');
  expect(text).toContain('mizan_instance_in_flight{instance="slow",model="hedged"} 0');
});

/** The only row of a tenant that asked once, as soon as it is there. */
async function onlyRow(by: string): Promise<Row> {
  for (;;) {
    const [row, ...others] = await rows(mizan.url, by);
    expect(others).toEqual([]);
    if (row !== undefined) return row;
  }
}

test('a caller who leaves while waiting for an instance is never sent to it, and is in the log once', async () => {
  const [first, second] = await Promise.all([mizan.token({ tenant: 'in' }), mizan.token({ tenant: 'in line' })]);
  const leave = [new AbortController(), new AbortController()] as const;
  const asking = [first, second].map(
    (by, i) => async () =>
      post(
        `${mizan.url}/v1/chat/completions`,
        by,
        { model: 'queued', messages: [{ role: 'user', content: 'x' }] },
        {
          signal: leave[i]!.signal,
        },
      ).catch(String),
  );
  const being = asking[0]!();
  const { closed } = await upstream.next('busy');
  const standing = asking[1]!();
  await waiting('queued', 1);
  leave[1].abort();
  expect(await standing).toContain('AbortError');
  expect(await onlyRow(second)).toMatchObject({
    status: 499,
    error_code: 'client_closed',
    attempts: 0,
    instance: null,
  });
  await waiting('queued', 0);
  const leftAt = performance.now();
  leave[0].abort();
  expect(await being).toContain('AbortError');
  expect((await closed) - leftAt).toBeLessThan(1000);
  expect(await onlyRow(first)).toMatchObject({ status: 499, attempts: 1, instance: 'busy' });
  expect(upstream.requestsTo('busy')).toHaveLength(1);
});
