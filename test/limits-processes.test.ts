import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { picosOf } from '../src/core/money.ts';
import { openStore } from '../src/store/index.ts';
import type { Answer } from './support/http.ts';
import { ask, openStream, post } from './support/http.ts';
import type { RunningProcess } from './support/mizan.ts';
import { startProcess } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { beginStream, event, fails, says, startUpstream } from './support/model-service.ts';
import type { RedisServer } from './support/redis.ts';
import { startRedis } from './support/redis.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let upstream: Upstream;
let redis: RedisServer;
let machines: readonly RunningProcess[] = [];
let token = '';
let flakiness = 0;

/** A dollar for every token of the answer. */
const price = { input: 0, output: 1_000_000 };
const instance = (id: string, model: string) => ({ id, provider: 'up', model, price });

beforeAll(async () => {
  upstream = await startUpstream({
    quick: says('a', 'b', 'c'),
    flaky: (request, response) => (flakiness++ % 2 === 0 ? fails(500) : says('abc'))(request, response),
    slow: async (request, response) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      await says('a', 'b', 'c')(request, response);
    },
    endless: (_request, response) => {
      beginStream(response);
      response.write(event({ content: 'a' }));
    },
  });
});

afterAll(() => upstream.close());

beforeEach(async () => {
  redis = await startRedis();
});

afterEach(async () => {
  await Promise.all(machines.map((machine) => machine.end()));
  machines = [];
  await redis.end();
});

/** Two processes with a data folder each, which know of each other. */
async function two(more: object): Promise<void> {
  const config = {
    redis: { url: redis.url },
    auth: { jwt: { secret: 'a secret of more than thirty-two bytes' } },
    limiting: { machines: 2 },
    providers: { up: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models: {
      quick: { instances: [instance('quick', 'quick')] },
      flaky: { instances: [instance('flaky', 'flaky')], health: { consecutiveFailures: 1000, minRequests: 100_000 } },
      hedged: {
        instances: [instance('slow', 'slow'), instance('slower', 'slow')],
        hedge: { afterMs: 20, maxShare: 1 },
      },
      endless: { instances: [instance('endless', 'endless')] },
    },
    ...more,
  };
  machines = await Promise.all([startProcess(config), startProcess(config)]);
  await Promise.all(machines.map((machine) => vi.waitFor(() => expectShared(machine), { timeout: 15_000 })));
  token = await machines[0]!.token();
}

async function expectShared({ url }: RunningProcess): Promise<void> {
  expect((await ask(`${url}/readyz`)).json).not.toHaveProperty('degraded');
}

const bodyOf = (model: string, asked: object = {}) => ({
  model,
  max_tokens: 3,
  messages: [{ role: 'user', content: 'Hi' }],
  ...asked,
});

/** So many at once, to both in turn. */
const burst = (n: number, model: string, asked?: object): Promise<Answer[]> =>
  Promise.all(
    Array.from({ length: n }, (_, i) =>
      post(`${machines[i % 2]!.url}/v1/chat/completions`, token, bodyOf(model, asked)),
    ),
  );

const count = (answers: readonly { readonly status: number }[], status: number): number =>
  answers.filter((answer) => answer.status === status).length;

/** What both ledgers have, in US dollars; each adds up to its log. */
async function booked(): Promise<number> {
  let sum = 0n;
  for (const { dataFolder } of machines) {
    const store = await openStore({ folder: dataFolder, url: null });
    const records = await store.requestHistory.list('default', { limit: 1000 });
    const report = await store.ledger.check();
    await store.close();
    expect(report.faults).toEqual([]);
    expect(report.sum).toBe(records.reduce((all, { costUsd }) => all + BigInt(picosOf(costUsd ?? 0)), 0n));
    sum += report.sum;
  }
  return Number(sum / 1_000_000_000_000n);
}

describe('200 requests at once to two processes, and money for ten', () => {
  const budgets = { team: { tenant: 'default', usd: 30, per: 'month' } };

  test.each([
    ['answered', 'quick', {}],
    ['streamed', 'quick', { stream: true }],
    ['retried', 'flaky', {}],
    ['hedged', 'hedged', {}],
  ])('ten at the most are %s', async (how, model, asked) => {
    await two({ budgets });
    const answers = await burst(200, model, asked);
    expect(count(answers, 200)).toBeLessThanOrEqual(10);
    // Where half of the attempts fail, some end with the failure: there is no money for another try.
    const others = answers.filter(({ status }) => status !== 200 && status !== 402);
    expect(how === 'retried' || others.length === 0).toBe(true);
    expect(await booked()).toBeLessThanOrEqual(30);
    // Once the burst is over, what is left is found to be left, and no more.
    let last = 0;
    for (let refusals = 0; refusals < 20;) {
      const [answer] = await burst(1, 'quick');
      if (answer!.status === 200) last++;
      else refusals++;
    }
    expect(last).toBeLessThanOrEqual(10);
    expect(await booked()).toBeLessThanOrEqual(30);
  });

  test('ten at the most are begun where all leave half-way, and pay for what they received', async () => {
    await two({ budgets });
    const streams = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        openStream(`${machines[i % 2]!.url}/v1/chat/completions`, token, bodyOf('endless', { stream: true })),
      ),
    );
    const open = streams.filter(({ response }) => response.status === 200);
    expect(open.length).toBeLessThanOrEqual(10);
    await Promise.all(open.map((stream) => stream.until(/"a"/)));
    for (const stream of open) stream.leave();
    await vi.waitFor(async () => expect(await booked()).toBe(open.length), { timeout: 15_000 });
  });
});

test('a Redis that has lost its memory gives nothing out again', async () => {
  await two({ budgets: { all: { usd: 30, per: 'total' } } });
  let spent = 0;
  for (let i = 0; i < 40 && spent < 10; i++) spent += count(await burst(2, 'quick'), 200);
  expect(await booked()).toBe(30);
  await redis.stop();
  await redis.start();
  await Promise.all(machines.map((machine) => vi.waitFor(() => expectShared(machine), { timeout: 15_000 })));
  expect(count(await burst(60, 'quick'), 200)).toBe(0);
  expect(await booked()).toBe(30);
});

test.each(['stops', 'says nothing'])(
  'while Redis %s under load, requests are answered or refused, and more is spent than there is only by what was not heard of',
  async (how) => {
    await two({ budgets: { all: { usd: 120, per: 'total' } } });
    const before = await burst(20, 'quick');
    const during: Promise<Answer[]>[] = [];
    during.push(burst(50, 'quick'));
    if (how === 'stops') await redis.stop();
    else redis.stall();
    during.push(burst(50, 'quick'));
    await Promise.all(during);
    during.push(burst(50, 'quick'));
    const answers = [...before, ...(await Promise.all(during)).flat()];
    if (how === 'stops') await redis.start();
    else redis.resume();
    await Promise.all(machines.map((machine) => vi.waitFor(() => expectShared(machine), { timeout: 15_000 })));
    answers.push(...(await burst(60, 'quick')));
    expect(count(answers, 200) + count(answers, 402)).toBe(answers.length);
    // Let in by Redis within the second before it went: 70 at the most, of which 40 fit at all.
    expect(count(answers, 200)).toBeLessThanOrEqual(80);
    expect(await booked()).toBe(count(answers, 200) * 3);
  },
);
