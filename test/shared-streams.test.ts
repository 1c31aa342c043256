import { Redis } from 'ioredis';
import { Agent, request as send } from 'undici';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { seededRandom } from '../src/core/random.ts';
import { aiProcess, dialects, openai } from './support/dialects.ts';
import type { OpenStream } from './support/http.ts';
import { ask, openStream, post, rowOf } from './support/http.ts';
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
import type { RunningProcess } from './support/mizan.ts';
import { everInUse, furnish, startProcess } from './support/mizan.ts';
import type { RedisServer } from './support/redis.ts';
import { startRedis } from './support/redis.ts';

// Every Mizan is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 180_000 });

const slow = { timeout: 60_000, interval: 10 };

const words = Array.from({ length: 20 }, (_, i) => `word${i} `);
const whole = words.join('');

const contentOf = ({ body }: Received): string =>
  (body['messages'] as readonly { readonly content: string }[]).at(-1)?.content ?? '';

/** Upstream calls that wait for the test, by what was asked. */
const gates = new Map<string, PromiseWithResolvers<void>>();

function gate(content: string): PromiseWithResolvers<void> {
  let held = gates.get(content);
  if (held === undefined) gates.set(content, (held = Promise.withResolvers<void>()));
  return held;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Says a word, waits for the test, and says the rest; the second time it is asked for what `changes`, something else. */
const gated: Behaviour = async (received, response) => {
  const content = contentOf(received);
  const isOther = content.startsWith('changes') && callsFor(content) > 1;
  if (content.startsWith('hold')) await gate(content).promise;
  if (received.body['stream'] !== true) {
    await gate(content).promise;
    respond(response, 200, completion(whole));
    return;
  }
  beginStream(response);
  response.write(event({ role: 'assistant', content: '' }));
  response.write(event({ content: isOther ? 'other ' : words[0] }));
  await gate(content).promise;
  for (const word of words.slice(1)) {
    response.write(event({ content: word }));
    await nextTurn();
  }
  response.end(event({}, 'stop') + usageEvent + doneEvent);
};

let upstream: Upstream;
let redis: RedisServer;
let client: Redis;
let both: readonly [RunningProcess, RunningProcess];

beforeAll(async () => {
  upstream = await startUpstream({ gated });
  redis = await startRedis();
  client = new Redis(redis.url, { retryStrategy: () => 100 });
  client.on('error', () => {});
  const house = await furnish({
    redis: { url: redis.url },
    providers: {
      mock: { kind: 'openai-compatible', baseUrl: upstream.url, prices: { gated: { input: 1, output: 1 } } },
    },
    models: {
      gated: { instances: [{ id: 'a', provider: 'mock', model: 'gated' }], cache: 'always', health: everInUse },
    },
    agents: { gated: { model: 'gated' } },
  });
  const first = await startProcess({}, house);
  both = [first, await startProcess({}, house)];
  await redisIsUp();
});

afterAll(async () => {
  client.disconnect();
  await both[1].end();
  await both[0].end();
  await upstream.close();
  await redis.end();
});

async function metric(mizan: RunningProcess, name: string): Promise<number> {
  const { text } = await ask(`${mizan.metricsUrl}/metrics`);
  return Number(new RegExp(`^${name.replaceAll(/[{}"]/g, String.raw`\$&`)} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
}

async function redisIsUp(): Promise<void> {
  await vi.waitFor(async () => {
    for (const mizan of both) expect(await metric(mizan, 'mizan_redis_up')).toBe(1);
  }, slow);
}

const callsFor = (content: string): number =>
  upstream.requestsTo('gated').filter((received) => contentOf(received) === content).length;

/** One upstream call; and where Redis had no time on a busy machine, one more for each time, which is the rule. */
async function oneCall(content: string): Promise<void> {
  const calls = callsFor(content);
  if (calls === 1) return;
  const unanswered = await Promise.all(both.map((mizan) => metric(mizan, 'mizan_redis_unanswered_total')));
  excused += calls - 1;
  expect(excused).toBeLessThanOrEqual(unanswered.reduce((sum, each) => sum + each, 0));
}

let excused = 0;

const body = (content: string, stream = true) => ({ model: 'gated', messages: [{ role: 'user', content }], stream });

function saidIn(text: string, isStream: boolean): string | null {
  if (!isStream) {
    return (JSON.parse(text) as { choices: { message: { content: string } }[] }).choices[0]!.message.content;
  }
  const { output, isComplete } = openai.readStream(text);
  return isComplete ? output : null;
}

async function open(mizan: RunningProcess, content: string, tenant = 'default'): Promise<OpenStream> {
  return openStream(`${mizan.url}/v1/chat/completions`, await mizan.token({ tenant }), body(content));
}

describe('a stream of another process', () => {
  test.each(dialects)('is joined while it runs, from its start: $path', async ({ path, readStream }) => {
    const content = `joined ${path}`;
    const asked = path === '/ai-process' ? { agent: 'gated', input: content, stream: true } : body(content);
    const first = await openStream(`${both[0].url}${path}`, await both[0].token(), asked);
    await first.until(/word0/);
    const second = await openStream(`${both[1].url}${path}`, await both[1].token(), asked);
    await second.until(/word0/);
    expect(second.response.headers.get('x-mizan-cache')).toBe('coalesced');
    expect(second.response.headers.get('x-mizan-instance')).toBe('a');
    gate(content).resolve();
    for (const text of [await first.rest(), await second.rest()]) {
      expect(readStream(text)).toMatchObject({ output: whole, isComplete: true, finishes: ['stop'] });
    }
    expect(callsFor(content)).toBe(1);
    const row = await rowOf(both[1].url, await both[1].token(), second.response.headers.get('x-request-id')!);
    expect(row).toMatchObject({
      status: 200,
      cache: 'coalesced',
      attempts: 0,
      usage: { output_tokens: 3, cost_usd: 0 },
    });
  });
});

describe('the one who began it', () => {
  test('may leave in the middle, 140 times: everybody in the other process has the whole answer', async () => {
    const random = seededRandom(7);
    const tokens = [await both[0].token(), await both[1].token()] as const;
    for (let i = 0; i < 140; i++) {
      const content = `leave ${i}`;
      const dialect = dialects[i % 2]!;
      const asked = dialect === aiProcess ? { agent: 'gated', input: content, stream: true } : body(content);
      const [from, to] = i % 4 < 2 ? ([0, 1] as const) : ([1, 0] as const);
      const [own, other] = [both[from], both[to]];
      const leader = await openStream(`${own.url}${dialect.path}`, tokens[from], asked);
      const followers = await Promise.all(
        ([own, other, other] as const).map((mizan, n) =>
          openStream(`${mizan.url}${dialect.path}`, tokens[n === 0 ? from : to], asked),
        ),
      );
      const plain =
        dialect === aiProcess ? null : post(`${other.url}${dialect.path}`, tokens[to], body(content, false));
      if (random() < 0.7) gate(content).resolve();
      for (let turns = Math.floor(random() * 40); turns > 0; turns--) await nextTurn();
      leader.leave();
      if (i % 3 === 0) followers.shift()!.leave();
      gate(content).resolve();
      for (const follower of followers) {
        const outcome = dialect.readStream(await follower.rest());
        expect(outcome).toMatchObject({ output: whole, isComplete: true, error: null });
      }
      if (plain !== null) expect(saidIn((await plain).text, false)).toBe(whole);
      await oneCall(content);
    }
  });

  test('may leave before anything is said, 60 times: everybody in the other process has the whole answer', async () => {
    const tokens = [await both[0].token(), await both[1].token()] as const;
    const looks = () => metric(both[1], 'mizan_cache_lookup_seconds_count{tier="redis"}');
    for (let i = 0; i < 60; i++) {
      const content = `hold ${i}`;
      const leader = new AbortController();
      const url = (mizan: RunningProcess) => `${mizan.url}/v1/chat/completions`;
      const led = post(url(both[0]), tokens[0], body(content, i % 2 === 0), { signal: leader.signal }).catch(
        () => null,
      );
      await vi.waitFor(() => expect(callsFor(content)).toBe(1), slow);
      const before = await looks();
      const followers = [i % 4 < 2, true, false].map((stream) => post(url(both[1]), tokens[1], body(content, stream)));
      await vi.waitFor(async () => expect(await looks()).toBe(before + 1), slow);
      leader.abort();
      await led;
      gate(content).resolve();
      for (const [n, { text, headers }] of (await Promise.all(followers)).entries()) {
        expect(headers.get('x-mizan-cache')).toMatch(/coalesced|miss/);
        expect(saidIn(text, n === 0 ? i % 4 < 2 : n === 1)).toBe(whole);
      }
      await oneCall(content);
    }
  });

  test('and everybody else may leave, in both processes: then the upstream is left, too', async () => {
    const all = [await open(both[0], 'empty'), await open(both[1], 'empty')];
    const received = upstream.requestsTo('gated').find((each) => contentOf(each) === 'empty')!;
    for (const each of all) each.leave();
    await received.closed;
    gate('empty').resolve();
  });

  test('may be killed with its whole process: the others go on with another upstream call that says the same', async () => {
    const third = await startProcess({}, both[0]);
    const leader = await open(third, 'killed');
    const followers = [await open(both[1], 'killed'), await open(both[1], 'killed')];
    for (const follower of followers) await follower.until(/word0/);
    third.process.signal('SIGKILL');
    await third.process.ended;
    gate('killed').resolve();
    for (const follower of followers) {
      expect(openai.readStream(await follower.rest())).toMatchObject({
        output: whole,
        isComplete: true,
        finishes: ['stop'],
      });
    }
    expect(callsFor('killed')).toBe(2);
    await leader.rest().catch(() => null);
  });

  test('may be killed, and where another call says something else, the others are told that it broke off', async () => {
    const third = await startProcess({}, both[0]);
    const leader = await open(third, 'changes');
    const follower = await open(both[1], 'changes');
    await follower.until(/word0/);
    third.process.signal('SIGKILL');
    await third.process.ended;
    gate('changes').resolve();
    const { output, isComplete, error } = openai.readStream(await follower.rest());
    expect([output, isComplete]).toEqual(['word0 ', false]);
    expect(error).toMatchObject({ code: 'upstream_truncated' });
    await leader.rest().catch(() => null);
  });
});

describe('Redis in the middle of a stream', () => {
  test.each(['killed', 'stalled for two seconds', 'full'])('%s: everybody has the whole answer', async (what) => {
    const content = `redis ${what}`;
    const streams = [await open(both[0], content), await open(both[1], content)];
    for (const stream of streams) await stream.until(/word0/);
    if (what === 'killed') await redis.stop();
    else if (what === 'full') await client.config('SET', 'maxmemory', '1');
    else redis.stall();
    const stalledAt = performance.now();
    gate(content).resolve();
    // The one that began it is not held up.
    expect(openai.readStream(await streams[0]!.rest())).toMatchObject({ output: whole, isComplete: true });
    if (what.startsWith('stalled')) {
      while (performance.now() < stalledAt + 2000) await metric(both[0], 'mizan_redis_up');
      redis.resume();
    }
    const text = await streams[1]!.rest();
    expect(openai.readStream(text)).toMatchObject({ output: whole, isComplete: true, finishes: ['stop'] });
    if (what === 'killed') await redis.start();
    if (what === 'full') await client.config('SET', 'maxmemory', '0');
    await redisIsUp();
  });

  test('with pieces that were altered: they are not passed on', async () => {
    const content = 'altered';
    const streams = [await open(both[0], content), await open(both[1], content)];
    for (const stream of streams) await stream.until(/word0/);
    const [pieces = ''] = (await client.keys('*:lease:*')).filter((name) => !name.endsWith('ears'));
    const [last] = await client.xrevrange(pieces, '+', '-', 'COUNT', 1);
    const number = Number.parseInt(last![0], 10);
    await client.xadd(pieces, `${number + 1}-1`, 'p', 'made up');
    gate(content).resolve();
    for (const stream of streams) {
      expect(openai.readStream(await stream.rest())).toMatchObject({ output: whole, isComplete: true });
    }
  });
});

describe('a thousand who ask the same of two processes', () => {
  test.each([
    ['streamed', () => true],
    ['one way or the other', (i: number) => Math.floor(i / 2) % 2 === 0],
  ])('are one upstream call while it runs: %s', async (what, isStream) => {
    const content = `thousand ${what}`;
    const token = await both[0].token();
    const agent = new Agent({ connections: 500, pipelining: 1 });
    const one = async (i: number) => {
      const answer = await send(`${both[i % 2]!.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body(content, isStream(i))),
        dispatcher: agent,
      });
      return { cache: String(answer.headers['x-mizan-cache']), said: saidIn(await answer.body.text(), isStream(i)) };
    };
    const first = await open(both[0], content);
    await first.until(/word0/);
    const others = Array.from({ length: 999 }, (_, i) => one(i + 1));
    await vi.waitFor(async () => {
      const counts = await Promise.all(both.map((mizan) => metric(mizan, 'mizan_requests_in_flight')));
      expect(counts).toEqual([500, 500]);
    }, slow);
    gate(content).resolve();
    const answers = await Promise.all(others);
    expect(saidIn(await first.rest(), true)).toBe(whole);
    await agent.close();
    await oneCall(content);
    expect(new Set(answers.map(({ said }) => said))).toEqual(new Set([whole]));
    const coalesced = answers.filter(({ cache }) => cache === 'coalesced');
    expect(coalesced.length).toBe(1000 - callsFor(content));
  });
});
