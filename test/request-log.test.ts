import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Answer } from './support/http.ts';
import { ask, errorOf, post, rows } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { everInUse, runMizan } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { fails, says, startUpstream } from './support/model-service.ts';

let upstream: Upstream;
let mizan: Running;
let token: string;

beforeAll(async () => {
  upstream = await startUpstream({ words: says('Hello', ' there'), free: says('Free'), broken: fails(500) });
  const instance = (model: string) => ({
    instances: [{ id: `${model}-1`, provider: 'mock', model }],
    health: everInUse,
  });
  const prices = { words: { input: 2, output: 10 } };
  mizan = await runMizan({
    providers: {
      mock: { kind: 'openai-compatible', baseUrl: upstream.url, prices },
      sim: { kind: 'simulator' },
    },
    models: { words: instance('words'), free: instance('free'), broken: instance('broken'), nowhere: {} },
    agents: { assistant: { model: 'words' }, free: { model: 'free' } },
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

describe('GET /api/requests', () => {
  test('shows a request with everything there is to know of it but what was said', async () => {
    const { json } = await run({
      agent: 'assistant',
      input: 'a very secret question',
      session: 's-1',
      metadata: { team: 'red', shift: 2 },
    });
    const { id } = json as { readonly id: string };
    const answer = await ask(`${mizan.url}/api/requests?limit=1`, { token });
    expect(answer.json).toStrictEqual({
      requests: [
        {
          id,
          time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
          tenant: 'default',
          principal: 'tester',
          agent: 'assistant',
          model: 'words',
          instance: 'words-1',
          provider: 'mock',
          stream: false,
          status: 200,
          error_code: null,
          error_message: null,
          attempts: 1,
          cache: 'bypass',
          usage: { input_tokens: 7, output_tokens: 3, cost_usd: 0.000044, source: 'upstream' },
          gateway_ms: expect.any(Number),
          queued_ms: null,
          upstream_ms: expect.any(Number),
          first_token_ms: null,
          finish_reason: 'stop',
          resumed: 0,
          session: 's-1',
          tags: { team: 'red', shift: '2' },
          trail: null,
        },
      ],
      next_before: id,
      next_after: id,
    });
    expect(answer.text).not.toContain('secret');
  });

  test('shows when the first token of a stream came', async () => {
    await run({ input: 'x', stream: true });
    const [row] = await rows(mizan.url, token, 'limit=1');
    expect(row).toMatchObject({ stream: true, status: 200, first_token_ms: expect.any(Number) });
    expect(row!.first_token_ms).toBeLessThanOrEqual(row!.gateway_ms + row!.upstream_ms);
  });

  test('shows what failed, with its status and code', async () => {
    for (const [model, status, code] of [
      ['broken', 502, 'upstream_error'],
      ['nowhere', 503, 'no_healthy_instance'],
      ['imaginary', 404, 'unknown_model'],
    ] as const) {
      const { headers } = await chat({ model });
      const [row] = await rows(mizan.url, token, 'limit=1');
      expect(row).toMatchObject({ id: headers.get('x-request-id'), status, error_code: code, finish_reason: null });
    }
  });

  test('is newest first, and pages with before', async () => {
    const mine = await mizan.token({ tenant: 'pages' });
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.unshift((await run({ input: 'x' }, mine)).headers.get('x-request-id')!);
    const page = async (query: string) => {
      const { json } = await ask(`${mizan.url}/api/requests?${query}`, { token: mine });
      const { requests, next_before: next } = json as { requests: { id: string }[]; next_before: string | null };
      return { ids: requests.map(({ id }) => id), next };
    };
    expect(await page('limit=2')).toEqual({ ids: ids.slice(0, 2), next: ids[1] });
    expect(await page(`limit=2&before=${ids[1]}`)).toEqual({ ids: ids.slice(2, 4), next: ids[3] });
    expect(await page(`limit=2&before=${ids[3]}`)).toEqual({ ids: ids.slice(4), next: null });
    expect((await page('agent=&status=&before=')).ids).toEqual(ids);
  });

  test('shows ten where nothing else is asked', async () => {
    const mine = await mizan.token({ tenant: 'ten' });
    await Promise.all(Array.from({ length: 11 }, () => run({ input: 'x' }, mine)));
    expect(await rows(mizan.url, mine, '')).toHaveLength(10);
    expect(await rows(mizan.url, mine, 'limit=1000')).toHaveLength(11);
  });

  test('filters by agent and by status', async () => {
    const mine = await mizan.token({ tenant: 'filters' });
    await run({ agent: 'assistant', input: 'x' }, mine);
    await run({ agent: 'free', input: 'x' }, mine);
    await chat({ model: 'broken' }, mine);
    const agents = async (query: string) => (await rows(mizan.url, mine, query)).map(({ agent }) => agent);
    expect(await agents('limit=10')).toEqual([null, 'free', 'assistant']);
    expect(await agents('agent=free')).toEqual(['free']);
    expect(await agents('status=502')).toEqual([null]);
    expect(await agents('agent=free&status=502')).toEqual([]);
  });

  test.for([
    ['limit=0', 'limit'],
    ['limit=1001', 'limit'],
    ['limit=many', 'limit'],
    ['status=99', 'status'],
    ['before=yesterday', 'before'],
    ["before=req_' OR 1=1", 'before'],
    ['agnt=assistant', 'agnt'],
  ] as const)('refuses %s and names the parameter', async ([query, param]) => {
    const { status, json } = await ask(`${mizan.url}/api/requests?${query}`, { token });
    expect(status).toBe(400);
    expect(errorOf(json)).toMatchObject({ code: 'invalid_request', param });
  });

  test('filters by whatever else a request is known by', async () => {
    const { json } = await chat({ model: 'words', metadata: { team: 'blue' }, user: 's-2' });
    expect(json).toBeDefined();
    await chat({ model: 'broken' });
    const count = async (query: string): Promise<number> =>
      (await rows(mizan.url, token, `${query}&limit=1000`)).length;
    expect(await count('tag=team:blue&session=s-2&model=words&instance=words-1')).toBe(1);
    expect(await count('tag=team:green')).toBe(0);
    expect(await count('error=UPSTREAM&model=broken')).toBeGreaterThan(0);
    expect(await count('min_latency_ms=1e9')).toBe(0);
    expect(await count('min_cost_usd=0.000001')).toBeGreaterThan(0);
    expect(await count('to=2020-01-01T00:00:00Z')).toBe(0);
    expect(await count('from=2020-01-01T00:00:00Z&agent=')).toBe(await count('from=1577836800000'));
    for (const wrong of ['from=yesterday', 'tag=team', 'min_cost_usd=-1', 'after=x', 'error=%00']) {
      expect((await ask(`${mizan.url}/api/requests?${wrong}`, { token })).status).toBe(400);
    }
  });

  test('is summed up by time and name, for its tenant', async () => {
    const all = await rows(mizan.url, token, 'limit=1000');
    const overview = async (query = '') => ask(`${mizan.url}/api/overview${query}`, { token });
    await vi.waitFor(async () => expect((await overview()).json).toMatchObject({ total: { requests: all.length } }), {
      timeout: 10_000,
      interval: 100,
    });
    const { json } = await overview('?agent=free');
    expect(json).toMatchObject({
      step_seconds: 3600,
      total: { requests: all.filter(({ agent }) => agent === 'free').length, latency_ms: {} },
      agents: expect.any(Array),
    });
    const stranger = await mizan.token({ tenant: 'elsewhere' });
    expect((await ask(`${mizan.url}/api/overview`, { token: stranger })).json).toMatchObject({
      total: { requests: 0 },
    });
    for (const wrong of ['from=yesterday', 'x=1', 'from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z']) {
      expect((await overview(`?${wrong}`)).status).toBe(400);
    }
  });

  test('never shows a tenant what another asked', async () => {
    const [a, b] = await Promise.all([mizan.token({ tenant: 'a' }), mizan.token({ tenant: 'b', role: 'admin' })]);
    const answers = await Promise.all(
      [a, b].flatMap((by) => Array.from({ length: 20 }, () => run({ input: 'x' }, by))),
    );
    const idsOf = (list: readonly Answer[]) => new Set(list.map(({ headers }) => headers.get('x-request-id')));
    const seen = async (by: string, query: string) => new Set((await rows(mizan.url, by, query)).map(({ id }) => id));
    expect(await seen(a, 'limit=1000')).toEqual(idsOf(answers.slice(0, 20)));
    expect(await seen(b, 'limit=1000')).toEqual(idsOf(answers.slice(20)));
    const newestOfB = [...(await seen(b, 'limit=1'))][0];
    const older = await seen(a, `limit=1000&before=${newestOfB}`);
    expect([...older].filter((id) => !idsOf(answers.slice(0, 20)).has(id))).toEqual([]);
  });
});
