import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openStore } from '../src/store/index.ts';
import type { Answer } from './support/http.ts';
import { ask, errorOf, openStream, post } from './support/http.ts';
import { bodyOf, dearInstance } from './support/machines.ts';
import type { Running } from './support/mizan.ts';
import { runMizan } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { beginStream, completion, event, respond, says, startUpstream } from './support/model-service.ts';

vi.setConfig({ testTimeout: 120_000 });

let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream({
    quick: says('a', 'b', 'c'),
    endless: (_request, response) => {
      beginStream(response);
      response.write(event({ content: 'a' }));
    },
    reports: (_request, response) =>
      respond(response, 200, {
        ...completion('abc'),
        usage: { prompt_tokens: 7, completion_tokens: 3, cost: 0.123_456_789_012_3 },
      }),
    free: says('a'),
  });
});

afterAll(() => upstream.close());

function config(more: object): object {
  const alone = (model: string) => [model, { instances: [dearInstance(model)] }];
  return {
    providers: { up: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models: {
      ...Object.fromEntries(['quick', 'endless', 'reports'].map(alone)),
      unpriced: { instances: [{ id: 'x', provider: 'up', model: 'free' }] },
    },
    ...more,
  };
}

const chat = (mizan: Running, token: string, asked: object): Promise<Answer> =>
  post(`${mizan.url}/v1/chat/completions`, token, asked);

/** Administration waits 50 ms for a lock of another process', such as the one that looked at the books just now. */
async function written(write: () => Promise<Answer>): Promise<Answer> {
  let answer = await write();
  while (answer.status === 500) answer = await write();
  return answer;
}

describe('a limit', () => {
  let mizan: Running;
  let token: string;

  beforeAll(async () => {
    mizan = await runMizan(
      config({
        limits: {
          everybody: { tenant: '*', rpm: 100 },
          ali: { principal: 'ali', rpm: 2 },
          sara: { principal: 'sara', tpm: 20 },
          omar: { principal: 'omar', maxInFlight: 1 },
          layla: { principal: 'layla', rpm: 2, tpm: 20 },
        },
        budgets: { priced: { principal: 'huda', usd: 1000, per: 'month', timezone: 'Asia/Riyadh' } },
      }),
    );
    token = await mizan.token({ subject: 'admin', role: 'admin' });
  });

  afterAll(() => mizan.end());

  test('is told of on every answer, and the narrowest is the one that answers', async () => {
    const ali = await mizan.token({ subject: 'ali' });
    const answers: Answer[] = [];
    for (let i = 0; i < 3; i++) answers.push(await chat(mizan, ali, bodyOf('quick', { stream: i === 1 })));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
    const header = (i: number, name: string): string | null => answers[i]!.headers.get(`x-ratelimit-${name}`);
    expect([0, 1, 2].map((i) => header(i, 'limit-requests'))).toEqual(['2', '2', '2']);
    expect([0, 1, 2].map((i) => header(i, 'remaining-requests'))).toEqual(['1', '0', '0']);
    // A second may have begun since it was counted.
    expect(header(0, 'reset-requests')).toMatch(/^(1m[01]s|60s|59(\.\d+)?s)$/);
    const refused = answers[2]!;
    const { code, message } = errorOf(refused.json);
    expect(code).toBe('rate_limited');
    expect(message).toMatch(
      /^The limit "ali" of 2 requests per minute is reached: 2 are used\. There is room again in \d+ s\.$/,
    );
    const wait = Number(refused.headers.get('retry-after'));
    expect(wait).toBeGreaterThan(0);
    expect(wait).toBeLessThanOrEqual(61);
  });

  test('of tokens counts what was used, not what was held', async () => {
    const sara = await mizan.token({ subject: 'sara' });
    const first = await chat(mizan, sara, bodyOf('quick'));
    expect(first.status).toBe(200);
    expect(first.headers.get('x-ratelimit-remaining-tokens')).toBe('10');
    const tooLong = await chat(mizan, sara, bodyOf('quick', { max_tokens: 1000 }));
    expect([tooLong.status, errorOf(tooLong.json).code]).toEqual([400, 'larger_than_limit']);
    expect(errorOf(tooLong.json).message).toMatch(
      /^The limit "sara" of 20 tokens per minute never has room for this request, which may need 10\d\d\. It fits with a max_tokens of at most 1\d for all of its answers together, or with a higher limit\.$/,
    );
    expect(tooLong.headers.get('retry-after')).toBeNull();
    const longPrompt = bodyOf('quick', { messages: [{ role: 'user', content: 'many words '.repeat(50) }] });
    const tooLongPrompt = await chat(mizan, sara, longPrompt);
    expect([tooLongPrompt.status, errorOf(tooLongPrompt.json).code]).toEqual([400, 'larger_than_limit']);
    expect(errorOf(tooLongPrompt.json).message).toMatch(
      /Its prompt alone is taken for \d+: it fits with a shorter one/,
    );
  });

  const rates = ({ headers }: Answer): Record<string, string | null> =>
    Object.fromEntries(
      ['limit', 'remaining', 'reset'].flatMap((what) =>
        ['requests', 'tokens'].map((kind) => [`${what}-${kind}`, headers.get(`x-ratelimit-${what}-${kind}`)]),
      ),
    );

  test('has its headers on refusals too, which lower nothing', async () => {
    const layla = await mizan.token({ subject: 'layla' });
    const room = {
      'limit-requests': '2',
      'limit-tokens': '20',
      'remaining-requests': '1',
      'remaining-tokens': '10',
      'reset-requests': expect.stringMatching(/^(1m[01]|\d\d(\.\d+)?)s$/) as string,
      'reset-tokens': expect.stringMatching(/^(1m[01]|\d\d(\.\d+)?)s$/) as string,
    };
    expect(rates(await chat(mizan, layla, bodyOf('quick')))).toEqual(room);
    for (let i = 0; i < 3; i++) {
      const refused = await chat(mizan, layla, bodyOf('quick', { max_tokens: 9, stream: i === 1 }));
      expect([refused.status, errorOf(refused.json).code]).toEqual([429, 'rate_limited']);
      expect(rates(refused)).toEqual(room);
      expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
    }
    expect(rates(await chat(mizan, layla, bodyOf('quick', { max_tokens: 1000 })))).toEqual(room);
    // Full of requests now, and not of tokens.
    expect((await chat(mizan, layla, bodyOf('quick', { max_tokens: 1 }))).status).toBe(200);
    const full = { ...room, 'remaining-requests': '0', 'remaining-tokens': '0' };
    const refused = await chat(mizan, layla, bodyOf('quick', { max_tokens: 1 }));
    expect(errorOf(refused.json).message).toContain('requests per minute');
    expect(rates(refused)).toEqual(full);
  });

  test('of requests in flight gives the place back when one ends, whoever ended it', async () => {
    const omar = await mizan.token({ subject: 'omar' });
    const stream = await openStream(`${mizan.url}/v1/chat/completions`, omar, bodyOf('endless', { stream: true }));
    await stream.until(/"a"/);
    const refused = await chat(mizan, omar, bodyOf('quick'));
    expect([refused.status, errorOf(refused.json).code]).toEqual([429, 'concurrency_limited']);
    stream.leave();
    await vi.waitFor(async () => expect((await chat(mizan, omar, bodyOf('quick'))).status).toBe(200), 10_000);
  });

  test('in money refuses a model without a price, with the line to add', async () => {
    const huda = await mizan.token({ subject: 'huda' });
    const refused = await chat(mizan, huda, bodyOf('unpriced'));
    expect([refused.status, errorOf(refused.json).code]).toEqual([402, 'price_unknown']);
    expect(errorOf(refused.json).message).toContain('providers.up.prices: { "free": { input: …, output: … } }');
  });

  test('in money pays what the upstream says, to its last digit', async () => {
    const huda = await mizan.token({ subject: 'huda' });
    expect((await chat(mizan, huda, bodyOf('reports'))).status).toBe(200);
    const { json } = await ask(`${mizan.url}/api/budgets`, {
      token: await mizan.token({ role: 'viewer', scope: 'any' }),
    });
    expect(json).toEqual({ budgets: [] });
    const every = await ask(`${mizan.url}/api/budgets?tenant=*`, {
      token: await mizan.token({ role: 'viewer', scope: 'any' }),
    });
    const [budget] = (every.json as { budgets: { uses: { for: object; used_usd: string; reserved_usd: string }[] }[] })
      .budgets;
    expect(budget).toMatchObject({ name: 'priced', usd: 1000, per: 'month', timezone: 'Asia/Riyadh' });
    expect(budget!.uses).toMatchObject([
      { for: { principal: 'huda', tenant: 'default' }, used_usd: '0.123456789012', reserved_usd: '0' },
    ]);
    const store = await openStore({ folder: mizan.dataFolder, url: null });
    const report = await store.ledger.check();
    await store.close();
    expect(report).toMatchObject({ rows: 1, faults: [], sum: 123_456_789_012n });
  });

  test('can be made, changed and removed while Mizan runs, for the own tenant', async () => {
    const url = `${mizan.url}/api/limits`;
    const vera = await mizan.token({ subject: 'vera' });
    const made = await written(() => post(url, token, { name: 'tight', principal: 'vera', rpm: 1 }));
    expect(made.status).toBe(201);
    expect(made.json).toMatchObject({ name: 'default/tight', for: { principal: 'vera', tenant: 'default' }, rpm: 1 });
    expect((await chat(mizan, vera, bodyOf('quick'))).status).toBe(200);
    expect((await chat(mizan, vera, bodyOf('quick'))).status).toBe(429);
    expect((await post(url, token, { name: 'tight', principal: 'vera', rpm: 2 })).status).toBe(201);
    expect((await chat(mizan, vera, bodyOf('quick'))).status).toBe(200);
    expect((await chat(mizan, vera, bodyOf('quick'))).status).toBe(429);
    expect((await ask(`${url}/tight`, { token, method: 'DELETE' })).status).toBe(200);
    expect((await chat(mizan, vera, bodyOf('quick'))).status).toBe(200);
    expect((await ask(`${url}/tight`, { token, method: 'DELETE' })).status).toBe(404);
    const foreign = await post(url, token, { name: 'theirs', tenant: 'other', rpm: 1 });
    expect(foreign.status).toBe(403);
    expect((await post(url, token, { name: 'nothing' })).status).toBe(400);
  });

  test('of an API key counts for that key alone, money and all', async () => {
    const limits = { rpm: 2, budget: { usd: 3, per: 'day' } };
    const { json } = await written(() => post(`${mizan.url}/api/keys`, token, { name: 'k', limits }));
    const { key, id } = json as { key: string; id: string };
    expect((await chat(mizan, key, bodyOf('quick'))).status).toBe(200);
    const spent = await chat(mizan, key, bodyOf('quick'));
    expect([spent.status, errorOf(spent.json).message]).toEqual([
      402,
      expect.stringContaining(`The budget of the API key ${id} of 3 USD per day is spent`),
    ]);
    // Who is refused for money has not used up a request.
    for (let i = 0; i < 3; i++) {
      const refused = await chat(mizan, key, bodyOf('quick'));
      expect([errorOf(refused.json).code, refused.headers.get('x-ratelimit-remaining-requests')]).toEqual([
        'budget_spent',
        '1',
      ]);
    }
    expect((await chat(mizan, token, bodyOf('quick'))).status).toBe(200);
  });

  test('shows in the metrics by the name that the configuration gives it', async () => {
    const { text } = await ask(`${mizan.metricsUrl}/metrics`);
    expect(text).toMatch(/^mizan_limit_size\{name="ali",kind="requests"\} 2$/m);
    expect(text).toMatch(/^mizan_limit_used\{name="ali",kind="requests"\} 2$/m);
    expect(text).toMatch(/^mizan_limit_refusals_total\{name="ali",kind="requests"\} 1$/m);
    expect(text).toMatch(/^mizan_limit_refusals_total\{name="\(api\)",kind="requests"\} 2$/m);
    expect(text).toMatch(/^mizan_limit_used\{name="priced",kind="money"\} 0\.123456789012$/m);
  });
});
