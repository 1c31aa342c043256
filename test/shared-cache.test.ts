import { hash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Crowd } from './support/crowd.ts';
import { openStream, post } from './support/http.ts';
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
import type { RunningProcess } from './support/mizan.ts';
import { everInUse, startProcess } from './support/mizan.ts';
import type { Pair } from './support/pair.ts';
import { inFlight, metric, slow, startPair } from './support/pair.ts';
import { callsTo, contentOf, Gates, saidIn } from './support/shared.ts';

// Every Mizan is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const gates = new Gates();

/** What there is no answer to any more. */
const failing = new Set<string>();

/** Says back what was asked; waits for the test where that begins with `hold`, and makes `tools` a call of one. */
const echo: Behaviour = async (received, response) => {
  const content = contentOf(received);
  if (content.startsWith('hold')) await gates.opened(content);
  if (failing.has(content)) {
    respond(response, 500, { error: { message: 'Broken.' } });
    return;
  }
  const answer = `echo ${content} ${'padding '.repeat(200)}`;
  const tool = { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } };
  if (received.body['stream'] !== true) {
    const toolCalls = content.includes('tools') ? { toolCalls: [tool] } : {};
    respond(response, 200, completion(answer, toolCalls));
    return;
  }
  beginStream(response);
  for (const word of answer.split(/(?<= )/)) response.write(event({ content: word }));
  response.end(event({}, 'stop') + usageEvent + doneEvent);
};

let upstream: Upstream;
let pair: Pair;
let both: Pair['both'];
let client: Pair['client'];

beforeAll(async () => {
  upstream = await startUpstream({ echo });
  pair = await startPair({
    providers: { mock: { kind: 'openai-compatible', baseUrl: upstream.url } },
    models: {
      old: {
        instances: [{ id: 'a', provider: 'mock', model: 'echo' }],
        health: everInUse,
        retries: { attempts: 1 },
        cache: { when: 'always', ttl: 1, staleIfError: 600 },
      },
      older: {
        instances: [{ id: 'a', provider: 'mock', model: 'echo' }],
        health: everInUse,
        cache: { when: 'always', ttl: 1, staleWhileRevalidate: 600 },
      },
      fast: { instances: [{ id: 'a', provider: 'mock', model: 'echo' }], cache: 'always', health: everInUse },
    },
    agents: { assistant: { model: 'fast' } },
  });
  ({ both, client } = pair);
});

afterAll(async () => {
  await pair.end();
  await upstream.close();
});

const callsFor = (content: string): number => callsTo(upstream, 'echo', content);

const body = (content: string, stream = false) => ({ model: 'fast', messages: [{ role: 'user', content }], stream });

async function chat(mizan: RunningProcess, content: string, stream = false, tenant = 'default') {
  const token = await mizan.token({ tenant });
  const { text, headers, status } = await post(`${mizan.url}/v1/chat/completions`, token, body(content, stream));
  return { text, status, cache: headers.get('x-mizan-cache'), said: saidIn(text, stream), age: headers.get('age') };
}

const answerTo = (content: string): string => `echo ${content} ${'padding '.repeat(200)}`;

/** What is in Redis for good, as soon as there are so many. */
async function values(count: number, tenant = 'default'): Promise<string[]> {
  return vi.waitFor(async () => {
    const keys = (await client.keys(`mizan:cache:2:${hash('sha256', tenant, 'base64url').slice(0, 16)}:*`)).filter(
      (key) => key.endsWith('}'),
    );
    expect(keys.length).toBe(count);
    return keys;
  }, slow);
}

describe('two processes over one Redis', () => {
  test.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])('share an answer (streamed: %s, then %s)', async (first, second) => {
    await client.flushall();
    const content = `share ${first} ${second}`;
    expect(await chat(both[0], content, first)).toMatchObject({ cache: 'miss', said: answerTo(content) });
    await values(1);
    expect(await chat(both[1], content, second)).toMatchObject({
      cache: 'hit',
      said: answerTo(content),
      age: expect.stringMatching(/^\d+$/),
    });
    expect(callsFor(content)).toBe(1);
  });

  test('leave nothing there that can be read, each with its time', async () => {
    await client.flushall();
    await chat(both[0], 'a secret', false, 'secretive');
    const [key = ''] = await values(1, 'secretive');
    const value = await client.getBuffer(key);
    expect(value!.length).toBeLessThan(800);
    for (const word of ['secret', 'echo', 'padding', 'fast']) {
      expect(`${key} ${value!.toString('latin1')}`).not.toContain(word);
    }
    expect(await client.pttl(key)).toBeGreaterThan(3_500_000);
  });

  test.each(['old', 'older'])('give what is too old and was only in Redis, as their own: %s', async (model) => {
    const content = `past ${model}`;
    const token = await both[0].token();
    const asked = (mizan: RunningProcess, headers = {}) =>
      post(`${mizan.url}/v1/chat/completions`, token, { ...body(content), model }, { headers });
    expect((await asked(both[0])).headers.get('x-mizan-cache')).toBe('miss');
    await vi.waitFor(async () => {
      const { status } = await asked(both[0], { 'cache-control': 'only-if-cached, max-age=1' });
      expect(status).toBe(504);
    }, slow);
    if (model === 'old') failing.add(content);
    const { status, headers } = await asked(both[1]);
    expect([status, headers.get('x-mizan-cache')]).toEqual([200, 'hit']);
    expect(Number(headers.get('age'))).toBeGreaterThanOrEqual(1);
    await vi.waitFor(() => expect(callsFor(content)).toBe(2), slow);
  });

  test('give no tenant what another has', async () => {
    expect((await chat(both[0], 'whose', false, 'ours')).cache).toBe('miss');
    expect((await chat(both[1], 'whose', false, 'theirs')).cache).toBe('miss');
    expect(callsFor('whose')).toBe(2);
  });

  test.each([false, true])('are one upstream call for a thousand who ask the same (streamed: %s)', async (stream) => {
    const crowd = new Crowd(500, await both[0].token());
    await pair.once(async (n) => {
      const content = `hold thousand ${stream} ${n}`;
      const one = (i: number) => crowd.ask(both[i % 2]!.url, body(content, stream));
      const firsts = await pair.firsts(one, () => callsFor(content));
      const asking = [...firsts.map(({ it }) => it), ...Array.from({ length: 998 }, (_, i) => one(i))];
      await Promise.all(both.map((mizan) => inFlight(mizan, 500)));
      gates.open(content);
      const answers = await Promise.all(asking);
      const calls = callsFor(content);
      expect(new Set(answers.map(({ said }) => said))).toEqual(new Set([answerTo(content)]));
      expect(answers.filter(({ cache }) => cache === 'miss')).toHaveLength(calls);
      expect(answers.filter(({ cache }) => cache === 'coalesced')).toHaveLength(1000 - calls);
      return calls;
    });
    await crowd.leave();
  });

  test('hand over an answer that is not kept to those who wait for it, and to nobody later', async () => {
    const content = 'hold tools';
    const first = chat(both[0], content);
    await vi.waitFor(() => expect(callsFor(content)).toBe(1), slow);
    const second = chat(both[1], content);
    await vi.waitFor(async () => expect(await metric(both[1], 'mizan_requests_in_flight')).toBe(1), slow);
    // It has found the lease taken by the time it looks again.
    await vi.waitFor(async () => expect(await client.keys('*:lease')).toHaveLength(1), slow);
    const looks = await metric(both[1], 'mizan_cache_lookup_seconds_count{tier="redis"}');
    expect(looks).toBeGreaterThan(0);
    gates.open(content);
    expect([(await first).cache, (await second).cache]).toEqual(['miss', 'coalesced']);
    expect(callsFor(content)).toBe(1);
    expect((await chat(both[1], content)).cache).toBe('miss');
  });

  test('go on where the one that asked is killed', async () => {
    const content = 'hold killed';
    const third = await startProcess({}, both[0]);
    const led = openStream(`${third.url}/v1/chat/completions`, await third.token(), body(content, true)).catch(
      () => null,
    );
    await vi.waitFor(() => expect(callsFor(content)).toBe(1), slow);
    const followed = chat(both[1], content);
    third.process.signal('SIGKILL');
    await third.process.ended;
    gates.open(content);
    expect(await followed).toMatchObject({ said: answerTo(content) });
    await led;
  });
});

/** Whatever is there at the moment becomes something else: altered, moved, cut or made up. */
async function tamper(): Promise<void> {
  const names = (await client.keys('mizan:cache:2:*')).filter((name) => name.endsWith('}') || name.includes('lease:'));
  for (const [i, name] of names.entries()) {
    if (!name.endsWith('}')) {
      await client.xadd(name, '*', 'p', 'made up').catch(() => null);
      continue;
    }
    const value = await client.getBuffer(name);
    if (value === null) continue;
    const altered = Buffer.from(value);
    altered[i % altered.length]! ^= 1;
    const moved = (await client.getBuffer(names[(i + 1) % names.length]!).catch(() => null)) ?? altered;
    const forms = [altered, moved, value.subarray(0, value.length / 2), Buffer.from('{"kind":"json"}')];
    await client.set(name, forms[i % forms.length]!, 'KEEPTTL', 'XX');
  }
}

describe('what is in Redis', () => {
  test('and was altered, cut, moved or made up, is not there: no error and no wrong answer', async () => {
    await client.flushall();
    const contents = ['tampered 0', 'tampered 1', 'tampered 2', 'tampered 3', 'tampered 4'];
    for (const content of contents) await chat(both[0], content, false, 'tampered');
    const keys = await values(contents.length, 'tampered');
    const [one = '', two = '', three = '', four = '', five = ''] = keys;
    const value = (await client.getBuffer(one))!;
    value[60] = value[60]! ^ 1;
    await client.set(one, value, 'KEEPTTL');
    await client.set(two, (await client.getBuffer(three))!, 'KEEPTTL');
    await client.set(three, (await client.getBuffer(three))!.subarray(0, 30), 'KEEPTTL');
    await client.set(four, '{"kind":"json","body":"made up"}', 'KEEPTTL');
    await client.del(five);
    await client.lpush(five, 'of another type');
    const before = await metric(both[1], 'mizan_cache_refused_values_total');
    for (const content of contents) {
      expect(await chat(both[1], content, false, 'tampered')).toMatchObject({
        status: 200,
        cache: 'miss',
        said: answerTo(content),
      });
    }
    expect((await metric(both[1], 'mizan_cache_refused_values_total')) - before).toBe(4);
  });

  test.each(['killed', 'stalled for two seconds', 'full', 'with altered values'])(
    'or Redis itself %s under load: no error and no wrong answer',
    async (what) => {
      await pair.redisIsUp();
      const load = { isOver: false };
      let right = 0;
      const token = await both[0].token();
      const lane = async (number: number): Promise<void> => {
        for (let i = 0; !load.isOver; i++) {
          const mizan = both[(number + i) % 2]!;
          const content = `load ${what} ${number} ${Math.floor(i / 3)}`;
          const stream = i % 2 === 0;
          const answer = await post(`${mizan.url}/v1/chat/completions`, token, body(content, stream));
          expect([answer.status, saidIn(answer.text, stream)]).toEqual([200, answerTo(content)]);
          right++;
        }
      };
      const lanes = Array.from({ length: 8 }, (_, i) => lane(i));
      const rightly = async (more: number): Promise<void> => {
        const from = right;
        await vi.waitFor(() => expect(right).toBeGreaterThan(from + more), slow);
      };
      await rightly(50);
      if (what === 'killed') {
        await pair.redis.stop();
        await rightly(200);
        await pair.redis.start();
      } else if (what === 'full') {
        await client.config('SET', 'maxmemory', '1');
        await rightly(200);
        await client.config('SET', 'maxmemory', '0');
      } else if (what === 'with altered values') {
        const refused = () => metric(both[1], 'mizan_cache_refused_values_total');
        const before = await refused();
        const tampering = { isOver: false };
        const answered = rightly(300).finally(() => {
          tampering.isOver = true;
        });
        while (!tampering.isOver || (await refused()) === before) await tamper();
        await answered;
      } else {
        pair.redis.stall();
        const until = performance.now() + 2000;
        while (performance.now() < until) await rightly(1);
        pair.redis.resume();
      }
      await pair.redisIsUp();
      await rightly(50);
      load.isOver = true;
      await Promise.all(lanes);
      const content = `after ${what}`;
      await chat(both[0], content);
      await vi.waitFor(async () => {
        const headers = { 'cache-control': 'only-if-cached' };
        const { text } = await post(`${both[1].url}/v1/chat/completions`, token, body(content), { headers });
        expect(text).toContain(answerTo(content));
      }, slow);
    },
  );
});
