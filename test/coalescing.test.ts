import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { seededRandom } from '../src/core/random.ts';
import { openStore } from '../src/store/index.ts';
import { Crowd } from './support/crowd.ts';
import { aiProcess, dialects, openai } from './support/dialects.ts';
import { ask, errorOf, openStream, post, rowOf } from './support/http.ts';
import type { Behaviour, Upstream } from './support/model-service.ts';
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
import { inFlight } from './support/pair.ts';
import { callsTo, contentOf, Flood, Gates, nextTurn, saidIn, stall } from './support/shared.ts';

vi.setConfig({ testTimeout: 120_000 });

const words = Array.from({ length: 20 }, (_, i) => `word${i} `);

const gates = new Gates();

/** Says a word, waits for the test, and says the rest. */
const gated: Behaviour = async (received, response) => {
  const opened = gates.opened(contentOf(received));
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
  await gates.opened(contentOf(received));
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

const flood = new Flood(gates);

let upstream: Upstream;
let mizan: Running;

beforeAll(async () => {
  upstream = await startUpstream({ gated, failing, torrent, flood: flood.behaviour });
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
    models: { gated: model('gated'), failing: model('failing'), torrent: model('torrent'), flood: model('flood') },
    agents: { gated: { model: 'gated' }, failing: { model: 'failing' }, torrent: { model: 'torrent' } },
    budgets: { payers: { tenant: 'payers', usd: 1, per: 'total' } },
  });
});

afterAll(async () => {
  await mizan.end();
  await upstream.close();
});

const callsFor = (content: string): number =>
  callsTo(upstream, 'gated', content) + callsTo(upstream, 'failing', content);

const body = (content: string, stream: boolean, model = 'gated') => ({
  model,
  messages: [{ role: 'user', content }],
  stream,
});

describe('a thousand who ask the same at the same time', () => {
  test.each([
    ['whole', () => false],
    ['streamed', () => true],
    ['one way or the other', (i: number) => i % 2 === 0],
  ])('are one upstream call: %s', async (what, isStream) => {
    const token = await mizan.token();
    const crowd = new Crowd(1000, token);
    const content = `thousand ${what}`;
    const one = (i: number) => crowd.ask(mizan.url, body(content, isStream(i)));
    const first = one(0);
    await vi.waitFor(() => expect(callsFor(content)).toBe(1));
    const others = Array.from({ length: 999 }, (_, i) => one(i + 1));
    await inFlight(mizan, 1000);
    gates.open(content);
    const answers = await Promise.all([first, ...others]);
    await crowd.leave();
    expect(callsFor(content)).toBe(1);
    expect(answers.map(({ cache }) => cache)).toEqual(['miss', ...others.map(() => 'coalesced')]);
    expect(new Set(answers.map(({ said }) => said))).toEqual(new Set([words.join('')]));
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
    gates.open(content);
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
      if (random() < 0.7) gates.open(content);
      for (let turns = Math.floor(random() * 40); turns > 0; turns--) await nextTurn();
      leader.leave();
      gates.open(content);
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
      await inFlight(mizan, 4);
      leader.abort();
      await led;
      gates.open(content);
      for (const [n, { text, headers }] of (await Promise.all(followers)).entries()) {
        expect(headers.get('x-mizan-cache')).toBe('coalesced');
        expect(saidIn(text, n !== 1)).toBe(words.join(''));
      }
      await inFlight(mizan, 0);
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
    gates.open('pay');
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
    gates.open('empty');
    expect(openai.readStream(await (await late).rest()).output).toBe(words.join(''));
    expect(callsFor('empty')).toBe(2);
  });
});

test('an error of the upstream is the error of all who asked', async () => {
  const token = await mizan.token();
  const asking = [1, 2, 3].map(() => post(`${mizan.url}/v1/chat/completions`, token, body('fail', false, 'failing')));
  await inFlight(mizan, 3);
  gates.open('fail');
  const answers = await Promise.all(asking);
  expect(answers.map(({ status, json }) => [status, errorOf(json).code])).toEqual(
    answers.map(() => [400, 'upstream_rejected']),
  );
  expect(callsFor('fail')).toBe(1);
});

describe('a caller who stops reading', () => {
  test.each(['who began it', 'who joined'])('holds nobody else up: the one %s', async (who) => {
    const token = await mizan.token();
    const url = `${mizan.url}/v1/chat/completions`;
    const asked = body(`flood ${who}`, true, 'flood');
    const open = () => openStream(url, token, asked);
    const first = who === 'who joined' ? await open() : null;
    const stalled = await stall(mizan.url, token, asked);
    const others = [...(first === null ? [] : [first]), await open()];
    gates.open(`flood ${who}`);
    const texts = await Promise.all(others.map((other) => other.rest()));
    for (const text of texts) {
      expect(openai.readStream(text)).toMatchObject({ isComplete: true });
      expect(text.match(/w{65536}/g)).toHaveLength(Flood.parts);
    }
    expect(upstream.requestsTo('flood').filter((each) => contentOf(each) === `flood ${who}`)).toHaveLength(1);
    // What had been sent is still there, and then why there is no more.
    stalled.socket.resume();
    const heard = await stalled.heard;
    expect(heard).not.toContain('[DONE]');
    expect(heard).toContain('"code":"client_too_slow"');
    const charged = who === 'who joined' ? { cache: 'coalesced', attempts: 0 } : { cache: 'miss', attempts: 1 };
    expect(await rowOf(mizan.url, token, stalled.id)).toMatchObject({ status: 408, ...charged });
  });

  test('and is alone is waited for: the upstream is held back', async () => {
    const stalled = await stall(mizan.url, await mizan.token(), body('flood alone', true, 'flood'));
    gates.open('flood alone');
    const { closed } = upstream.requestsTo('flood').at(-1)!;
    let isOver = false;
    void closed.then(() => {
      isOver = true;
    });
    for (let i = 0, sent = -1; sent !== flood.sent || i < 50; i++) {
      if (sent !== flood.sent) i = 0;
      sent = flood.sent;
      await ask(`${mizan.metricsUrl}/metrics`);
    }
    expect(isOver).toBe(false);
    stalled.socket.resume();
    const heard = await stalled.heard;
    expect(heard.match(/w{65536}/g)).toHaveLength(Flood.parts);
    expect(heard).toContain('[DONE]');
  });
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
