import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Answer } from './support/http.ts';
import { errorOf, openStream, post } from './support/http.ts';
import { bodyOf, count, dearInstance, dollars, soundBooks } from './support/machines.ts';
import type { Running } from './support/mizan.ts';
import { everInUse, runMizan } from './support/mizan.ts';
import type { Upstream } from './support/model-service.ts';
import {
  beginStream,
  completion,
  doneEvent,
  event,
  fails,
  respond,
  says,
  startUpstream,
} from './support/model-service.ts';

vi.setConfig({ testTimeout: 120_000 });

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

beforeAll(async () => {
  upstream = await startUpstream({
    quick: says('a', 'b', 'c'),
    silent: (_request, response) => {
      beginStream(response);
      for (const word of ['a', 'b', 'c']) response.write(event({ content: word }));
      response.end(event({}, 'stop') + doneEvent);
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
  });
});

afterAll(() => upstream.close());

function config(more: object): object {
  const alone = (model: string) => ({ instances: [dearInstance(model)], health: everInUse });
  return {
    providers: { up: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models: {
      ...Object.fromEntries(['quick', 'silent', 'endless', 'flaky'].map((model) => [model, alone(model)])),
      hedged: { instances: [dearInstance('a', 'slow'), dearInstance('b', 'slow')], hedge: { afterMs: 1, maxShare: 1 } },
    },
    ...more,
  };
}

const chat = (mizan: Running, token: string, asked: object): Promise<Answer> =>
  post(`${mizan.url}/v1/chat/completions`, token, asked);
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
      const answers = await times(200, () => chat(mizan, token, bodyOf('quick')));
      expect([count(answers, 200), count(answers, 402)]).toEqual([10, 190]);
      const refused = answers.find(({ status }) => status === 402);
      expect(errorOf(refused?.json)).toMatchObject({ code: 'budget_spent', type: 'budget' });
      expect(await soundBooks([mizan])).toBe(dollars(30));
    }));

  test('let ten in where they are streamed, with usage or without', () =>
    withMizan(async (mizan, token) => {
      const answers = await times(100, () => chat(mizan, token, bodyOf('quick', { stream: true })));
      const more = await times(100, () => chat(mizan, token, bodyOf('silent', { stream: true })));
      expect(count(answers, 200) + count(more, 200)).toBe(10);
      expect(await soundBooks([mizan])).toBe(dollars(30));
    }));

  test('let ten in where all leave half-way, who pay for what they received', () =>
    withMizan(async (mizan, token) => {
      const streams = await times(200, () =>
        openStream(`${mizan.url}/v1/chat/completions`, token, bodyOf('endless', { stream: true })),
      );
      const open = streams.filter(({ response }) => response.status === 200);
      expect(open.length).toBe(10);
      await Promise.all(open.map((stream) => stream.until(/"a"/)));
      for (const stream of open) stream.leave();
      await vi.waitFor(async () => expect(await soundBooks([mizan])).toBe(dollars(10)), 10_000);
      // Twenty are left, of which each holds three.
      const answers = await times(20, () => chat(mizan, token, bodyOf('quick')));
      expect(count(answers, 200)).toBe(6);
      expect(await soundBooks([mizan])).toBe(dollars(28));
    }));

  test('let ten in where half of the attempts fail, for which nobody pays', () =>
    withMizan(async (mizan, token) => {
      const answers = await times(200, () => chat(mizan, token, bodyOf('flaky')));
      const answered = count(answers, 200);
      expect(answered).toBeLessThanOrEqual(10);
      const later: Answer[] = [];
      for (let i = 0; i < 30; i++) later.push(await chat(mizan, token, bodyOf('flaky')));
      expect(answered + count(later, 200)).toBe(10);
      expect(await soundBooks([mizan])).toBe(dollars(30));
    }));

  test('ask ten instances at a time where each asks two', () =>
    withMizan(async (mizan, token) => {
      const before = upstream.requestsTo('slow').length;
      const asking = times(200, () => chat(mizan, token, bodyOf('hedged')));
      await vi.waitFor(() => expect(gate.waiting).toBe(10), 10_000);
      const isFull = async (): Promise<boolean> => (await chat(mizan, token, bodyOf('quick'))).status === 402;
      expect(await isFull()).toBe(true);
      expect(upstream.requestsTo('slow').length - before).toBe(10);
      gate.open();
      const answers = await asking;
      expect(count(answers, 200)).toBeLessThanOrEqual(10);
      expect(await soundBooks([mizan])).toBe(dollars(3 * count(answers, 200)));
    }));
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
    for (let i = 0; i < 4; i++) expect((await chat(mizan, token, bodyOf('quick'))).status).toBe(200);
    expect((await chat(mizan, token, bodyOf('quick'))).status).toBe(402);
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
