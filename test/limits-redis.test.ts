import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Answer } from './support/http.ts';
import { ask, openStream } from './support/http.ts';
import { areShared, bodyOf, count, degraded, dollars, inTurn, pairOver, soundBooks } from './support/machines.ts';
import type { Running } from './support/mizan.ts';
import { runMizan } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import { beginStream, event, fails, says, startUpstream } from './support/model-service.ts';
import type { RedisServer } from './support/redis.ts';
import { startRedis } from './support/redis.ts';

vi.setConfig({ testTimeout: 60_000 });

let upstream: Upstream;
let redis: RedisServer;
let machines: readonly Running[] = [];
let flakiness = 0;

beforeAll(async () => {
  upstream = await startUpstream({
    quick: says('a', 'b', 'c'),
    flaky: (request, response) => (flakiness++ % 2 === 0 ? fails(500) : says('abc'))(request, response),
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

/** Two machines with a data folder each, which know of each other. */
async function two(more: object): Promise<(model: string, asked?: object) => Promise<Answer>> {
  const config = pairOver({ redis, upstream }, ['quick', 'flaky', 'endless'], more);
  machines = await Promise.all([runMizan(config), runMizan(config)]);
  await areShared(machines);
  return inTurn(machines, await machines[0]!.token());
}

/**
 * Lets in what there is room for still. Where machines are busy, an answer of Redis' may come too late for whoever
 * asked: what it had counted is free again when it comes.
 * @returns Whether that many were let in, and then no more.
 */
async function fits(chat: (model: string) => Promise<Answer>, room: number): Promise<boolean> {
  const until = performance.now() + 30_000;
  for (let admitted = 0; admitted < room;) {
    if ((await chat('quick')).status === 200) admitted++;
    if (performance.now() > until) return false;
  }
  return count(await times(20, () => chat('quick')), 200) === 0;
}

/** Whether Redis was late for any of them. */
async function wasLate(): Promise<boolean> {
  const texts = await Promise.all(machines.map(({ metricsUrl }) => ask(`${metricsUrl}/metrics`)));
  return texts.some(({ text }) => !/^mizan_redis_unanswered_total 0$/m.test(text));
}

/** As many as a busy machine can be asked at a time without Redis' answers coming too late for it. */
const atOnce = 25;

async function times<T>(n: number, make: () => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  let begun = 0;
  const work = async (): Promise<void> => {
    while (begun++ < n) made.push(await make());
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return made;
}

describe('200 requests to two machines, and money for ten', () => {
  const budgets = { team: { tenant: 'default', usd: 30, per: 'month' } };

  test.each([
    ['answered', {}],
    ['streamed', { stream: true }],
  ])('let ten in where they are %s', async (_how, asked) => {
    const chat = await two({ budgets });
    const answers = await times(200, () => chat('quick', asked));
    expect(count(answers, 200)).toBeLessThanOrEqual(10);
    expect(count(answers, 200) + count(answers, 402)).toBe(200);
    expect(await fits(chat, 10 - count(answers, 200))).toBe(true);
    expect(await soundBooks(machines)).toBe(dollars(30));
  });

  test('let ten in where half of the attempts fail', async () => {
    const chat = await two({ budgets });
    const answers = await times(200, () => chat('flaky'));
    expect(count(answers, 200)).toBeLessThanOrEqual(10);
    expect(await fits(chat, 10 - count(answers, 200))).toBe(true);
    expect(await soundBooks(machines)).toBe(dollars(30));
  });

  test('let ten in where all leave half-way, who pay for what they received', async () => {
    const chat = await two({ budgets });
    const token = await machines[0]!.token();
    let turn = 0;
    const streams = await times(200, () =>
      openStream(`${machines[turn++ % 2]!.url}/v1/chat/completions`, token, bodyOf('endless', { stream: true })),
    );
    const open = streams.filter(({ response }) => response.status === 200);
    expect(open.length).toBeLessThanOrEqual(10);
    expect(open.length).toBeGreaterThan(0);
    await Promise.all(open.map((stream) => stream.until(/"a"/)));
    for (const stream of open) stream.leave();
    await vi.waitFor(async () => expect(await soundBooks(machines)).toBe(dollars(open.length)), 15_000);
    const more = Math.floor((30 - open.length) / 3);
    expect(await fits(chat, more)).toBe(true);
    expect(await soundBooks(machines)).toBe(dollars(open.length + 3 * more));
  });
});

describe('a limit of 60 requests a minute over two machines', () => {
  const limits = { all: { rpm: 60 } };

  test('lets sixty in, whichever machine they come to', async () => {
    const chat = await two({ limits });
    const answers = await times(300, () => chat('quick'));
    expect(count(answers, 200) + count(answers, 429)).toBe(300);
    // Each machine lets in a sixteenth at the most where Redis says nothing in time, and refuses the rest.
    const [least, most] = (await wasLate()) ? [0, 66] : [60, 60];
    expect(count(answers, 200)).toBeGreaterThanOrEqual(least);
    expect(count(answers, 200)).toBeLessThanOrEqual(most);
    expect(await fits(chat, 60 - count(answers, 200))).toBe(true);
    expect((await chat('quick')).headers.get('x-ratelimit-remaining-requests')).toBe('0');
  });

  test('is told of in the headers by what all have used, and refusals lower nothing', async () => {
    const chat = await two({ limits: { all: { rpm: 60, tpm: 1000 } } });
    const told = async (asked: object = {}) => {
      const { status, headers } = await chat('quick', asked);
      const left = ['requests', 'tokens'].map((kind) => Number(headers.get(`x-ratelimit-remaining-${kind}`)));
      return [status, ...left];
    };
    expect(await told()).toEqual([200, 59, 990]);
    await vi.waitFor(async () => expect(await told({ max_tokens: 989 })).toEqual([429, 59, 990]), 10_000);
    await vi.waitFor(async () => expect(await told({ max_tokens: 989 })).toEqual([429, 59, 990]), 10_000);
    expect(await told()).toEqual([200, 58, 980]);
    expect(await told({ max_tokens: 5000 })).toEqual([400, 58, 980]);
  });

  test('lets each machine keep to its share while Redis is gone, says so, and goes on with what was counted', async () => {
    const chat = await two({ limits });
    for (let before = 0; before < 40;) before += count([await chat('quick')], 200);
    await redis.stop();
    const during = await times(200, () => chat('quick'));
    // Together they had 40 of the 30 that each has.
    expect([count(during, 200), count(during, 429)]).toEqual([20, 180]);
    for (const machine of machines) {
      expect(await degraded(machine)).toEqual({ redis: 'unavailable', limits: 'kept by share' });
      expect((await ask(`${machine.metricsUrl}/metrics`)).text).toMatch(/^mizan_limits_by_share 1$/m);
    }
    await redis.start();
    await areShared(machines);
    const after = await times(200, () => chat('quick'));
    expect(count(after, 200) + count(after, 429)).toBe(200);
    expect(count(after, 200)).toBe(0);
  });

  test('answers nothing but 200 and 429 while Redis says nothing, and no more than fits', async () => {
    const chat = await two({ limits });
    redis.stall();
    const during = await times(200, () => chat('quick'));
    expect(count(during, 200)).toBe(60);
    expect(count(during, 429)).toBe(140);
    redis.resume();
    await areShared(machines);
    expect(count(await times(50, () => chat('quick')), 429)).toBe(50);
  });
});

test('a budget is exceeded by no more than the machines were let in unknown to each other, while Redis goes and comes back empty', async () => {
  const chat = await two({ budgets: { team: { tenant: 'default', usd: 90, per: 'total' } } });
  let answered = 0;
  while (answered < 10) answered += count([await chat('quick')], 200);
  await redis.stop();
  const during = await times(100, () => chat('quick'));
  expect(count(during, 200) + count(during, 402)).toBe(100);
  answered += count(during, 200);
  // Each knows of the other what it was told last: of the ten before, at most one on each side was not.
  expect(answered).toBeLessThanOrEqual(32);
  await redis.start();
  await areShared(machines);
  expect(await fits(chat, 30 - answered)).toBe(true);
  answered = Math.max(answered, 30);
  expect(await soundBooks(machines)).toBe(dollars(answered * 3));
});
