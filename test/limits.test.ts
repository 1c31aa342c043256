import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { LedgerReport } from '../src/core/limit.ts';
import { picosOf } from '../src/core/money.ts';
import { openStore } from '../src/store/index.ts';
import type { Answer } from './support/http.ts';
import { ask, errorOf, openStream, post } from './support/http.ts';
import type { Running } from './support/mizan.ts';
import { everInUse, runMizan } from './support/mizan.ts';
import type { Behaviour, Upstream } from './support/model-service.ts';
import {
  beginStream,
  completion,
  doneEvent,
  event,
  fails,
  respond,
  says,
  startUpstream,
  usageEvent,
} from './support/model-service.ts';

vi.setConfig({ testTimeout: 120_000 });

/** A dollar for every token of the answer: `max_tokens` is what is held, and the upstream says 3. */
const price = { input: 0, output: 1_000_000 };
const body = (model: string, more: object = {}) => ({
  model,
  max_tokens: 3,
  messages: [{ role: 'user', content: 'Hi' }],
  ...more,
});

/** What waits until the test opens the gate. */
class Gate {
  #open = Promise.withResolvers<void>();
  waiting = 0;

  get opened(): Promise<void> {
    this.waiting++;
    return this.#open.promise;
  }

  open(): void {
    this.#open.resolve();
    this.#open = Promise.withResolvers<void>();
    this.waiting = 0;
  }
}

const gate = new Gate();
let upstream: Upstream;
let flakiness = 0;

const behaviours: Record<string, Behaviour> = {
  quick: says('a', 'b', 'c'),
  silent: (_request, response) => {
    beginStream(response);
    for (const word of ['a', 'b', 'c']) response.write(event({ content: word }));
    response.end(event({}, 'stop') + doneEvent);
  },
  held: async ({ body: { stream } }, response) => {
    await gate.opened;
    if (stream !== true) return respond(response, 200, completion('abc'));
    beginStream(response);
    response.end(event({ content: 'abc' }) + event({}, 'stop') + usageEvent + doneEvent);
  },
  endless: (_request, response) => {
    beginStream(response);
    response.write(event({ content: 'a' }));
  },
  flaky: (request, response) => (flakiness++ % 2 === 0 ? fails(500) : says('abc'))(request, response),
  slow: async (_request, response) => {
    await gate.opened;
    respond(response, 200, completion('abc'));
  },
  reports: (_request, response) =>
    respond(response, 200, {
      ...completion('abc'),
      usage: { prompt_tokens: 7, completion_tokens: 3, cost: 0.123_456_789_012_3 },
    }),
  free: says('a'),
};

beforeAll(async () => {
  upstream = await startUpstream(behaviours);
});

afterAll(() => upstream.close());

function config(more: object, models: readonly string[] = Object.keys(behaviours)): object {
  const instance = (model: string, id = model) => ({ id, provider: 'up', model, price });
  return {
    providers: { up: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models: {
      ...Object.fromEntries(models.map((id) => [id, { instances: [instance(id)], health: everInUse }])),
      hedged: { instances: [instance('slow', 'a'), instance('slow', 'b')], hedge: { afterMs: 1, maxShare: 1 } },
      unpriced: { instances: [{ id: 'x', provider: 'up', model: 'free' }] },
    },
    ...more,
  };
}

const chat = (mizan: Running, token: string, asked: object): Promise<Answer> =>
  post(`${mizan.url}/v1/chat/completions`, token, asked);

/** The ledger's own report, and the sum of the log, both to the picodollar. */
async function books({ dataFolder }: Running): Promise<{ readonly report: LedgerReport; readonly log: bigint }> {
  const store = await openStore({ folder: dataFolder, url: null });
  try {
    const records = await store.requestHistory.list('default', { limit: 1000 });
    const log = records.reduce((sum, { costUsd }) => sum + BigInt(picosOf(costUsd ?? 0)), 0n);
    return { report: await store.ledger.check(), log };
  } finally {
    await store.close();
  }
}

async function soundBooks(mizan: Running): Promise<bigint> {
  const { report, log } = await books(mizan);
  expect(report.faults).toEqual([]);
  expect(report.sum).toBe(log);
  return report.sum;
}

const dollars = (usd: number): bigint => BigInt(usd) * 1_000_000_000_000n;
const count = (answers: readonly Answer[], status: number): number => answers.filter((a) => a.status === status).length;
const times = <T>(n: number, make: () => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: n }, make));

describe('200 requests at once, and money for ten', () => {
  const budgets = { team: { tenant: 'default', usd: 30, per: 'total' } };

  async function withMizan(use: (mizan: Running, token: string) => Promise<void>): Promise<void> {
    const mizan = await runMizan(config({ budgets }));
    try {
      await use(mizan, await mizan.token());
    } finally {
      await mizan.end();
    }
  }

  test('let ten in, and no more', () =>
    withMizan(async (mizan, token) => {
      const answers = await times(200, () => chat(mizan, token, body('quick')));
      expect([count(answers, 200), count(answers, 402)]).toEqual([10, 190]);
      const refused = answers.find(({ status }) => status === 402);
      expect(errorOf(refused?.json)).toMatchObject({ code: 'budget_spent', type: 'budget' });
      expect(await soundBooks(mizan)).toBe(dollars(30));
    }));

  test('let ten in where they are streamed, with usage or without', () =>
    withMizan(async (mizan, token) => {
      const answers = await times(100, () => chat(mizan, token, body('quick', { stream: true })));
      const more = await times(100, () => chat(mizan, token, body('silent', { stream: true })));
      expect(count(answers, 200) + count(more, 200)).toBe(10);
      expect(await soundBooks(mizan)).toBe(dollars(30));
    }));

  test('let ten in where all leave half-way, who pay for what they received', () =>
    withMizan(async (mizan, token) => {
      const streams = await times(200, () =>
        openStream(`${mizan.url}/v1/chat/completions`, token, body('endless', { stream: true })),
      );
      const open = streams.filter(({ response }) => response.status === 200);
      expect(open.length).toBe(10);
      await Promise.all(open.map((stream) => stream.until(/"a"/)));
      for (const stream of open) stream.leave();
      await vi.waitFor(async () => expect(await soundBooks(mizan)).toBe(dollars(10)), 10_000);
      // Twenty are left, of which each holds three.
      const answers = await times(20, () => chat(mizan, token, body('quick')));
      expect(count(answers, 200)).toBe(6);
      expect(await soundBooks(mizan)).toBe(dollars(28));
    }));

  test('let ten in where half of the attempts fail, for which nobody pays', () =>
    withMizan(async (mizan, token) => {
      const answers = await times(200, () => chat(mizan, token, body('flaky')));
      const answered = count(answers, 200);
      expect(answered).toBeLessThanOrEqual(10);
      const later: Answer[] = [];
      for (let i = 0; i < 30; i++) later.push(await chat(mizan, token, body('flaky')));
      expect(answered + count(later, 200)).toBe(10);
      expect(await soundBooks(mizan)).toBe(dollars(30));
    }));

  test('ask ten instances at a time where each asks two', () =>
    withMizan(async (mizan, token) => {
      const before = upstream.requestsTo('slow').length;
      const asking = times(200, () => chat(mizan, token, body('hedged')));
      await vi.waitFor(() => expect(gate.waiting).toBe(10), 10_000);
      const isFull = async (): Promise<boolean> => (await chat(mizan, token, body('quick'))).status === 402;
      expect(await isFull()).toBe(true);
      expect(upstream.requestsTo('slow').length - before).toBe(10);
      gate.open();
      const answers = await asking;
      expect(count(answers, 200)).toBeLessThanOrEqual(10);
      expect(await soundBooks(mizan)).toBe(dollars(3 * count(answers, 200)));
    }));
});

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
    for (let i = 0; i < 3; i++) answers.push(await chat(mizan, ali, body('quick', { stream: i === 1 })));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
    const header = (i: number, name: string): string | null => answers[i]!.headers.get(`x-ratelimit-${name}`);
    expect([0, 1, 2].map((i) => header(i, 'limit-requests'))).toEqual(['2', '2', '2']);
    expect([0, 1, 2].map((i) => header(i, 'remaining-requests'))).toEqual(['1', '0', '0']);
    expect(header(0, 'reset-requests')).toMatch(/^1m[01]s$/);
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
    const first = await chat(mizan, sara, body('quick'));
    expect(first.status).toBe(200);
    expect(first.headers.get('x-ratelimit-remaining-tokens')).toBe('10');
    const tooLong = await chat(mizan, sara, body('quick', { max_tokens: 1000 }));
    expect([tooLong.status, errorOf(tooLong.json).code]).toEqual([400, 'larger_than_limit']);
    expect(errorOf(tooLong.json).message).toMatch(
      /^The limit "sara" of 20 tokens per minute never has room for this request, which may need 10\d\d\. It fits with a max_tokens of at most 1\d for all of its answers together, or with a higher limit\.$/,
    );
    expect(tooLong.headers.get('retry-after')).toBeNull();
    const longPrompt = body('quick', { messages: [{ role: 'user', content: 'many words '.repeat(50) }] });
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
    expect(rates(await chat(mizan, layla, body('quick')))).toEqual(room);
    for (let i = 0; i < 3; i++) {
      const refused = await chat(mizan, layla, body('quick', { max_tokens: 9, stream: i === 1 }));
      expect([refused.status, errorOf(refused.json).code]).toEqual([429, 'rate_limited']);
      expect(rates(refused)).toEqual(room);
      expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
    }
    expect(rates(await chat(mizan, layla, body('quick', { max_tokens: 1000 })))).toEqual(room);
    // Full of requests now, and not of tokens.
    expect((await chat(mizan, layla, body('quick', { max_tokens: 1 }))).status).toBe(200);
    const full = { ...room, 'remaining-requests': '0', 'remaining-tokens': '0' };
    const refused = await chat(mizan, layla, body('quick', { max_tokens: 1 }));
    expect(errorOf(refused.json).message).toContain('requests per minute');
    expect(rates(refused)).toEqual(full);
  });

  test('of requests in flight gives the place back when one ends, whoever ended it', async () => {
    const omar = await mizan.token({ subject: 'omar' });
    const stream = await openStream(`${mizan.url}/v1/chat/completions`, omar, body('endless', { stream: true }));
    await stream.until(/"a"/);
    const refused = await chat(mizan, omar, body('quick'));
    expect([refused.status, errorOf(refused.json).code]).toEqual([429, 'concurrency_limited']);
    stream.leave();
    await vi.waitFor(async () => expect((await chat(mizan, omar, body('quick'))).status).toBe(200), 10_000);
  });

  test('in money refuses a model without a price, with the line to add', async () => {
    const huda = await mizan.token({ subject: 'huda' });
    const refused = await chat(mizan, huda, body('unpriced'));
    expect([refused.status, errorOf(refused.json).code]).toEqual([402, 'price_unknown']);
    expect(errorOf(refused.json).message).toContain('providers.up.prices: { "free": { input: …, output: … } }');
  });

  test('in money pays what the upstream says, to its last digit', async () => {
    const huda = await mizan.token({ subject: 'huda' });
    expect((await chat(mizan, huda, body('reports'))).status).toBe(200);
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
    expect((await books(mizan)).report).toMatchObject({ rows: 1, faults: [], sum: 123_456_789_012n });
  });

  test('can be made, changed and removed while Mizan runs, for the own tenant', async () => {
    const url = `${mizan.url}/api/limits`;
    const vera = await mizan.token({ subject: 'vera' });
    const made = await written(() => post(url, token, { name: 'tight', principal: 'vera', rpm: 1 }));
    expect(made.status).toBe(201);
    expect(made.json).toMatchObject({ name: 'default/tight', for: { principal: 'vera', tenant: 'default' }, rpm: 1 });
    expect((await chat(mizan, vera, body('quick'))).status).toBe(200);
    expect((await chat(mizan, vera, body('quick'))).status).toBe(429);
    expect((await post(url, token, { name: 'tight', principal: 'vera', rpm: 2 })).status).toBe(201);
    expect((await chat(mizan, vera, body('quick'))).status).toBe(200);
    expect((await chat(mizan, vera, body('quick'))).status).toBe(429);
    expect((await ask(`${url}/tight`, { token, method: 'DELETE' })).status).toBe(200);
    expect((await chat(mizan, vera, body('quick'))).status).toBe(200);
    expect((await ask(`${url}/tight`, { token, method: 'DELETE' })).status).toBe(404);
    const foreign = await post(url, token, { name: 'theirs', tenant: 'other', rpm: 1 });
    expect(foreign.status).toBe(403);
    expect((await post(url, token, { name: 'nothing' })).status).toBe(400);
  });

  test('of an API key counts for that key alone, money and all', async () => {
    const limits = { rpm: 2, budget: { usd: 3, per: 'day' } };
    const { json } = await written(() => post(`${mizan.url}/api/keys`, token, { name: 'k', limits }));
    const { key, id } = json as { key: string; id: string };
    expect((await chat(mizan, key, body('quick'))).status).toBe(200);
    const spent = await chat(mizan, key, body('quick'));
    expect([spent.status, errorOf(spent.json).message]).toEqual([
      402,
      expect.stringContaining(`The budget of the API key ${id} of 3 USD per day is spent`),
    ]);
    // Who is refused for money has not used up a request.
    for (let i = 0; i < 3; i++) {
      const refused = await chat(mizan, key, body('quick'));
      expect([errorOf(refused.json).code, refused.headers.get('x-ratelimit-remaining-requests')]).toEqual([
        'budget_spent',
        '1',
      ]);
    }
    expect((await chat(mizan, token, body('quick'))).status).toBe(200);
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

test('a budget tells of its alerts, once each, to the webhook too', async () => {
  const told: Record<string, unknown>[] = [];
  const arrivals: (() => void)[] = [];
  const webhook = createServer((request, response) => {
    let text = '';
    request.on('data', (part: Buffer) => (text += part.toString()));
    request.on('end', () => {
      const { type, data } = JSON.parse(text) as { readonly type: string; readonly data: Record<string, unknown> };
      const signed = `${String(request.headers['webhook-id'])}.${String(request.headers['webhook-timestamp'])}.${text}`;
      const mac = createHmac('sha256', 'a secret of sixteen bytes').update(signed).digest('base64');
      told.push({ ...data, event: type, isSigned: request.headers['webhook-signature'] === `v1,${mac}` });
      response.end();
      for (const arrived of arrivals.splice(0)) arrived();
    });
  });
  webhook.listen(0, '127.0.0.1');
  await once(webhook, 'listening');
  const { port } = webhook.address() as AddressInfo;
  const secret = 'a secret of sixteen bytes';
  const schedule = { webhooks: { ops: { url: `http://127.0.0.1:${port}/hook`, secret } } };
  const limiting = { webhooks: ['ops'] };
  const egress = { allow: ['127.0.0.1'] };
  const budgets = { team: { tenant: 'default', usd: 12, per: 'month', alerts: [25, 50, 100] } };
  const mizan = await runMizan(config({ budgets, limiting, schedule, egress }));
  try {
    const token = await mizan.token();
    for (let i = 0; i < 4; i++) expect((await chat(mizan, token, body('quick'))).status).toBe(200);
    expect((await chat(mizan, token, body('quick'))).status).toBe(402);
    while (told.length < 3) await new Promise<void>((resolve) => arrivals.push(resolve));
    const seen = told.map(({ percent, used_usd: used }) => `${String(percent)} ${String(used)}`);
    expect(seen.toSorted((a, b) => a.localeCompare(b))).toEqual(['100 12', '25 3', '50 6']);
    expect(told[0]).toMatchObject({
      event: 'budget.alert',
      isSigned: true,
      budget: 'team',
      for: { tenant: 'default' },
      usd: 12,
      per: 'month',
    });
  } finally {
    await mizan.end();
    webhook.close();
  }
});
