import { once } from 'node:events';
import { Agent, request as send } from 'undici';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { seededRandom } from '../src/core/random.ts';
import { openStore } from '../src/store/index.ts';
import { aiProcess, dialects, openai } from './support/dialects.ts';
import { ask, errorOf, openStream, post, rowOf } from './support/http.ts';
import type { Behaviour, Received, Upstream } from './support/model-service.ts';
import {
  beginStream,
  completion,
  doneEvent,
  event,
  respond,
  startUpstream,
  usageEvent,
} from './support/model-service.ts';
import type { Running } from './support/mizan.ts';
import { everInUse, runMizan } from './support/mizan.ts';

vi.setConfig({ testTimeout: 120_000 });

const words = Array.from({ length: 20 }, (_, i) => `word${i} `);

/** Upstream calls that wait for the test, by what was asked. */
const gates = new Map<string, { readonly open: () => void; readonly opened: Promise<void> }>();

function gate(content: string): { readonly open: () => void; readonly opened: Promise<void> } {
  let held = gates.get(content);
  if (held === undefined) {
    const { promise, resolve } = Promise.withResolvers<void>();
    gates.set(content, (held = { open: resolve, opened: promise }));
  }
  return held;
}

const contentOf = ({ body }: Received): string =>
  (body['messages'] as readonly { readonly content: string }[]).at(-1)?.content ?? '';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Says a word, waits for the test, and says the rest. */
const gated: Behaviour = async (received, response) => {
  const { opened } = gate(contentOf(received));
  if (received.body['stream'] !== true) {
    await opened;
    respond(response, 200, completion(words.join('')));
    return;
  }
  if (contentOf(received).startsWith('hold')) await opened;
  beginStream(response);
  response.write(event({ content: words[0] }));
  await opened;
  for (const word of words.slice(1)) {
    response.write(event({ content: word }));
    await nextTurn();
  }
  response.end(event({}, 'stop') + usageEvent + doneEvent);
};

const failing: Behaviour = async (received, response) => {
  await gate(contentOf(received)).opened;
  respond(response, 400, { error: { message: 'No.', type: 'invalid_request_error', param: null, code: null } });
};

/** More than is ever kept for those who come later, to callers of whom one doesn't read. */
const torrent: Behaviour = async (_received, response) => {
  beginStream(response);
  for (let i = 0; i < 200; i++) {
    if (!response.write(event({ content: 'w'.repeat(64 * 1024) }))) await once(response, 'drain');
  }
  response.end(event({}, 'stop') + doneEvent);
};

let upstream: Upstream;
let mizan: Running;

beforeAll(async () => {
  upstream = await startUpstream({ gated, failing, torrent });
  const model = (name: string) => ({
    instances: [{ id: 'a', provider: 'mock', model: name }],
    cache: 'always',
    health: everInUse,
    retries: { attempts: 1 },
  });
  mizan = await runMizan({
    providers: {
      mock: { kind: 'openai-compatible', baseUrl: upstream.url, prices: { gated: { input: 1, output: 1 } } },
    },
    models: { gated: model('gated'), failing: model('failing'), torrent: model('torrent') },
    agents: { gated: { model: 'gated' }, failing: { model: 'failing' }, torrent: { model: 'torrent' } },
    budgets: { payers: { tenant: 'payers', usd: 1, per: 'total' } },
  });
});

afterAll(async () => {
  await mizan.end();
  await upstream.close();
});

const callsFor = (content: string): number =>
  [...upstream.requestsTo('gated'), ...upstream.requestsTo('failing')].filter(
    (received) => contentOf(received) === content,
  ).length;

/** Resolves when so many requests are being answered. */
async function inFlight(count: number): Promise<void> {
  await vi.waitFor(
    async () => {
      const { text } = await ask(`${mizan.metricsUrl}/metrics`);
      expect(text).toContain(`mizan_requests_in_flight ${count}\n`);
    },
    { timeout: 60_000, interval: 10 },
  );
}

const body = (content: string, stream: boolean, model = 'gated') => ({
  model,
  messages: [{ role: 'user', content }],
  stream,
});

/** What a whole answer says; `null` for a stream that is not complete. */
function saidIn(text: string, isStream: boolean): string | null {
  if (!isStream) {
    return (JSON.parse(text) as { choices: { message: { content: string } }[] }).choices[0]!.message.content;
  }
  const { output, isComplete } = openai.readStream(text);
  return isComplete ? output : null;
}

describe('a thousand who ask the same at the same time', () => {
  test.each([
    ['whole', () => false],
    ['streamed', () => true],
    ['one way or the other', (i: number) => i % 2 === 0],
  ])('are one upstream call: %s', async (what, isStream) => {
    const token = await mizan.token();
    const agent = new Agent({ connections: 1000, pipelining: 1 });
    const content = `thousand ${what}`;
    const one = async (i: number) => {
      const answer = await send(`${mizan.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body(content, isStream(i))),
        dispatcher: agent,
      });
      return { cache: answer.headers['x-mizan-cache'], status: answer.statusCode, text: await answer.body.text() };
    };
    const first = one(0);
    await vi.waitFor(() => expect(callsFor(content)).toBe(1));
    const others = Array.from({ length: 999 }, (_, i) => one(i + 1));
    await inFlight(1000);
    gate(content).open();
    const answers = await Promise.all([first, ...others]);
    await agent.close();
    expect(callsFor(content)).toBe(1);
    expect(answers.map(({ cache }) => cache)).toEqual(['miss', ...others.map(() => 'coalesced')]);
    const said = answers.map(({ text }, i) => saidIn(text, isStream(i)));
    expect(new Set(said)).toEqual(new Set([words.join('')]));
  });

  test.each(dialects)('join a stream from its start, whenever they come: $path', async ({ path, readStream }) => {
    const token = await mizan.token();
    const content = `late ${path}`;
    const asked = path === '/ai-process' ? { agent: 'gated', input: content, stream: true } : body(content, true);
    const first = await openStream(`${mizan.url}${path}`, token, asked);
    await first.until(/word0/);
    const second = await openStream(`${mizan.url}${path}`, token, asked);
    await second.until(/word0/);
    expect(second.response.headers.get('x-mizan-cache')).toBe('coalesced');
    gate(content).open();
    for (const text of [await first.rest(), await second.rest()]) {
      expect(readStream(text)).toMatchObject({ output: words.join(''), isComplete: true, finishes: ['stop'] });
    }
    expect(callsFor(content)).toBe(1);
  });
});

describe('the one who began it', () => {
  test('may leave in the middle of a stream, 140 times: everybody else has the whole answer', async () => {
    const random = seededRandom(20);
    const token = await mizan.token();
    for (let i = 0; i < 140; i++) {
      const content = `leave ${i}`;
      const dialect = dialects[i % 2]!;
      const asked = dialect === aiProcess ? { agent: 'gated', input: content, stream: true } : body(content, true);
      const url = `${mizan.url}${dialect.path}`;
      const leader = await openStream(url, token, asked);
      // Each has joined by the time the head of its answer is there.
      const followers = await Promise.all([1, 2, 3].map(() => openStream(url, token, asked)));
      if (random() < 0.7) gate(content).open();
      for (let turns = Math.floor(random() * 40); turns > 0; turns--) await nextTurn();
      leader.leave();
      gate(content).open();
      for (const follower of followers) {
        const outcome = dialect.readStream(await follower.rest());
        expect(outcome).toMatchObject({ output: words.join(''), isComplete: true, error: null });
      }
      expect(callsFor(content)).toBe(1);
    }
  });

  test('may leave before anything is said, 60 times: everybody else has the whole answer', async () => {
    const token = await mizan.token();
    const url = `${mizan.url}/v1/chat/completions`;
    for (let i = 0; i < 60; i++) {
      const content = `hold ${i}`;
      const leader = new AbortController();
      const led = post(url, token, body(content, i % 2 === 0), { signal: leader.signal }).catch(() => null);
      await vi.waitFor(() => expect(callsFor(content)).toBe(1), { interval: 1 });
      const followers = [true, false, true].map((stream) => post(url, token, body(content, stream)));
      await inFlight(4);
      leader.abort();
      await led;
      gate(content).open();
      for (const [n, { text, headers }] of (await Promise.all(followers)).entries()) {
        expect(headers.get('x-mizan-cache')).toBe('coalesced');
        expect(saidIn(text, n !== 1)).toBe(words.join(''));
      }
      await inFlight(0);
      expect(callsFor(content)).toBe(1);
    }
  });

  test('pays for it, also where it left; the others pay nothing', async () => {
    const token = await mizan.token({ tenant: 'payers' });
    const leader = await openStream(`${mizan.url}/v1/chat/completions`, token, body('pay', true));
    await leader.until(/word0/);
    const follower = await openStream(`${mizan.url}/v1/chat/completions`, token, body('pay', true));
    await follower.until(/word0/);
    leader.leave();
    gate('pay').open();
    await follower.rest();
    const [ledRow, followedRow] = await Promise.all(
      [leader, follower].map(({ response }) => rowOf(mizan.url, token, response.headers.get('x-request-id')!)),
    );
    expect(ledRow).toMatchObject({ status: 499, cache: 'miss', usage: { output_tokens: 3, cost_usd: 0.00001 } });
    expect(followedRow).toMatchObject({ status: 200, cache: 'coalesced', attempts: 0, usage: { cost_usd: 0 } });
    // What was held for it is given back, too: only what it cost is gone.
    const admin = await mizan.token({ tenant: 'payers', role: 'admin' });
    const { json } = await ask(`${mizan.url}/api/budgets`, { headers: { authorization: `Bearer ${admin}` } });
    expect(json).toMatchObject({ budgets: [{ name: 'payers', uses: [{ used_usd: '0.00001', reserved_usd: '0' }] }] });
    // Nothing of it is charged twice, by the ledger's own account.
    const store = await openStore({ folder: mizan.dataFolder, url: null });
    const report = await store.ledger.check();
    await store.close();
    expect(report).toMatchObject({ rows: 1, requests: 1, faults: [], sum: 10_000_000n });
  });

  test('and everybody else may leave: then the upstream is left, too, and nobody can join it', async () => {
    const token = await mizan.token();
    const all = await Promise.all(
      [1, 2].map(() => openStream(`${mizan.url}/v1/chat/completions`, token, body('empty', true))),
    );
    const received = upstream.requestsTo('gated').find((each) => contentOf(each) === 'empty')!;
    for (const each of all) each.leave();
    await received.closed;
    const late = openStream(`${mizan.url}/v1/chat/completions`, token, body('empty', true));
    gate('empty').open();
    expect(openai.readStream(await (await late).rest()).output).toBe(words.join(''));
    expect(callsFor('empty')).toBe(2);
  });
});

test('an error of the upstream is the error of all who asked', async () => {
  const token = await mizan.token();
  const asking = [1, 2, 3].map(() => post(`${mizan.url}/v1/chat/completions`, token, body('fail', false, 'failing')));
  await inFlight(3);
  gate('fail').open();
  const answers = await Promise.all(asking);
  expect(answers.map(({ status, json }) => [status, errorOf(json).code])).toEqual(
    answers.map(() => [400, 'upstream_rejected']),
  );
  expect(callsFor('fail')).toBe(1);
});

test('an answer that is too large to be kept is passed on as fast as the slowest reads, and to nobody who comes late', async () => {
  const token = await mizan.token();
  const url = `${mizan.url}/v1/chat/completions`;
  const [one, other] = await Promise.all([1, 2].map(() => openStream(url, token, body('torrent', true, 'torrent'))));
  await one!.until(/w{1000}/);
  const texts = await Promise.all([one!.rest(), other!.rest()]);
  for (const text of texts) expect(openai.readStream(text)).toMatchObject({ isComplete: true });
  expect(texts[0].length).toBe(texts[1].length);
  const again = await openStream(url, token, body('torrent', true, 'torrent'));
  expect(again.response.headers.get('x-mizan-cache')).toBe('miss');
  again.leave();
});
