import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { seededRandom } from '../src/core/random.ts';
import { Crowd } from './support/crowd.ts';
import { aiProcess, dialects, openai } from './support/dialects.ts';
import type { OpenStream } from './support/http.ts';
import { openStream, post, rowOf } from './support/http.ts';
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
import { callsTo, contentOf, Gates, nextTurn, saidIn } from './support/shared.ts';

// Every Mizan is a process, and the machine may have much else to do.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 180_000 });

const words = Array.from({ length: 20 }, (_, i) => `word${i} `);
const whole = words.join('');

const gates = new Gates();

/** Says a word, waits for the test, and says the rest; the second time it is asked for what `changes`, something else. */
const gated: Behaviour = async (received, response) => {
  const content = contentOf(received);
  const isOther = content.startsWith('changes') && callsFor(content) > 1;
  if (content.startsWith('hold')) await gates.opened(content);
  if (received.body['stream'] !== true) {
    await gates.opened(content);
    respond(response, 200, completion(whole));
    return;
  }
  beginStream(response);
  response.write(event({ role: 'assistant', content: '' }));
  response.write(event({ content: isOther ? 'other ' : words[0] }));
  await gates.opened(content);
  for (const word of words.slice(1)) {
    response.write(event({ content: word }));
    await nextTurn();
  }
  response.end(event({}, 'stop') + usageEvent + doneEvent);
};

let upstream: Upstream;
let pair: Pair;
let both: Pair['both'];

beforeAll(async () => {
  upstream = await startUpstream({ gated });
  pair = await startPair({
    server: { shutdownTimeoutMs: 100 },
    providers: {
      mock: { kind: 'openai-compatible', baseUrl: upstream.url, prices: { gated: { input: 1, output: 1 } } },
    },
    models: {
      gated: { instances: [{ id: 'a', provider: 'mock', model: 'gated' }], cache: 'always', health: everInUse },
    },
    agents: { gated: { model: 'gated' } },
  });
  ({ both } = pair);
});

afterAll(async () => {
  await pair.end();
  await upstream.close();
});

const callsFor = (content: string): number => callsTo(upstream, 'gated', content);

/**
 * One upstream call; and where Redis had no time on a busy machine, one more for each time, which is the rule.
 * @param silent How often it had none before that.
 */
async function oneCall(content: string, silent: number): Promise<void> {
  const calls = callsFor(content);
  expect(calls).toBeGreaterThan(0);
  expect(calls).toBeLessThanOrEqual(1 + (await pair.unanswered()) - silent);
}

const body = (content: string, stream = true) => ({ model: 'gated', messages: [{ role: 'user', content }], stream });

async function open(mizan: RunningProcess, content: string, tenant = 'default'): Promise<OpenStream> {
  return openStream(`${mizan.url}/v1/chat/completions`, await mizan.token({ tenant }), body(content));
}

/**
 * Opens streams that share one upstream call, each after the first word of the one before. Where Redis had no time on a
 * busy machine a process asks for itself: then with another question.
 */
async function share(
  what: string,
  openings: readonly ((content: string) => Promise<OpenStream>)[],
): Promise<{ readonly content: string; readonly streams: readonly OpenStream[] }> {
  for (let n = 0; n < 10; n++) {
    const content = `${what} ${n}`;
    const streams: OpenStream[] = [];
    for (const opening of openings) {
      const stream = await opening(content);
      await stream.until(/word0|other/);
      streams.push(stream);
    }
    if (callsFor(content) === 1) return { content, streams };
    for (const stream of streams) stream.leave();
    gates.open(content);
  }
  throw new Error(`Nobody shared a call ten times: ${what}`);
}

describe('a stream of another process', () => {
  test.each(dialects)('is joined while it runs, from its start: $path', async ({ path, readStream }) => {
    const asked = (content: string): object =>
      path === '/ai-process' ? { agent: 'gated', input: content, stream: true } : body(content);
    const { content, streams } = await share(
      `joined ${path}`,
      both.map((mizan) => async (text) => openStream(`${mizan.url}${path}`, await mizan.token(), asked(text))),
    );
    const [first, second] = streams as [OpenStream, OpenStream];
    expect(second.response.headers.get('x-mizan-cache')).toBe('coalesced');
    expect(second.response.headers.get('x-mizan-instance')).toBe('a');
    gates.open(content);
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
      const silent = await pair.unanswered();
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
      if (random() < 0.7) gates.open(content);
      for (let turns = Math.floor(random() * 40); turns > 0; turns--) await nextTurn();
      leader.leave();
      if (i % 3 === 0) followers.shift()!.leave();
      gates.open(content);
      for (const follower of followers) {
        const outcome = dialect.readStream(await follower.rest());
        expect(outcome).toMatchObject({ output: whole, isComplete: true, error: null });
      }
      expect(plain === null ? whole : saidIn((await plain).text, false)).toBe(whole);
      await oneCall(content, silent);
    }
  });

  test('may leave before anything is said, 60 times: everybody in the other process has the whole answer', async () => {
    const tokens = [await both[0].token(), await both[1].token()] as const;
    const looks = () => metric(both[1], 'mizan_cache_lookup_seconds_count{tier="redis"}');
    for (let i = 0; i < 60; i++) {
      const content = `hold ${i}`;
      const silent = await pair.unanswered();
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
      gates.open(content);
      for (const [n, { text, headers }] of (await Promise.all(followers)).entries()) {
        expect(headers.get('x-mizan-cache')).toMatch(/coalesced|miss/);
        expect(saidIn(text, n === 0 ? i % 4 < 2 : n === 1)).toBe(whole);
      }
      await oneCall(content, silent);
    }
  });

  test('and everybody else may leave, in both processes: then the upstream is left, too', async () => {
    const all = [await open(both[0], 'empty'), await open(both[1], 'empty')];
    const received = upstream.requestsTo('gated').find((each) => contentOf(each) === 'empty')!;
    for (const each of all) each.leave();
    expect(await received.closed).toBeGreaterThan(0);
    gates.open('empty');
  });

  test('may be killed with its whole process: the others go on with another upstream call that says the same', async () => {
    const third = await startProcess({}, both[0]);
    const { content, streams } = await share(
      'killed',
      [third, both[1], both[1]].map((mizan) => (text) => open(mizan, text)),
    );
    const [leader, ...followers] = streams as [OpenStream, ...OpenStream[]];
    third.process.signal('SIGKILL');
    await third.process.ended;
    gates.open(content);
    for (const follower of followers) {
      expect(openai.readStream(await follower.rest())).toMatchObject({
        output: whole,
        isComplete: true,
        finishes: ['stop'],
      });
    }
    expect(callsFor(content)).toBe(2);
    await leader.rest().catch(() => null);
  });

  test('may be killed, and where another call says something else, the others are told that it broke off', async () => {
    const third = await startProcess({}, both[0]);
    const { content, streams } = await share(
      'changes',
      [third, both[1]].map((mizan) => (text) => open(mizan, text)),
    );
    const [leader, follower] = streams as [OpenStream, OpenStream];
    third.process.signal('SIGKILL');
    await third.process.ended;
    gates.open(content);
    const { output, isComplete, error } = openai.readStream(await follower.rest());
    expect([output, isComplete]).toEqual(['word0 ', false]);
    expect(error).toMatchObject({ code: 'upstream_truncated' });
    await leader.rest().catch(() => null);
  });

  test('may end with its process, which waits no longer: its own callers are told, the others have the whole answer', async () => {
    const third = await startProcess({}, both[0]);
    const { content, streams } = await share(
      'ended',
      [third, third, both[1]].map((mizan) => (text) => open(mizan, text)),
    );
    const [one, another, other] = streams as [OpenStream, OpenStream, OpenStream];
    const received = upstream.requestsTo('gated').find((each) => contentOf(each) === content)!;
    third.process.signal('SIGTERM');
    for (const each of [one, another]) {
      const { isComplete, error } = openai.readStream(await each.rest());
      expect([isComplete, error?.code]).toEqual([false, 'shutting_down']);
    }
    expect((await third.process.ended).code).toBe(0);
    await received.closed;
    gates.open(content);
    expect(openai.readStream(await other.rest())).toMatchObject({ output: whole, isComplete: true });
  });
});

describe('Redis in the middle of a stream', () => {
  test.each(['killed', 'stalled for two seconds', 'full'])('%s: everybody has the whole answer', async (what) => {
    const content = `redis ${what}`;
    const streams = [await open(both[0], content), await open(both[1], content)];
    for (const stream of streams) await stream.until(/word0/);
    if (what === 'killed') await pair.redis.stop();
    else if (what === 'full') await pair.client.config('SET', 'maxmemory', '1');
    else pair.redis.stall();
    const stalledAt = performance.now();
    gates.open(content);
    // The one that began it is not held up.
    expect(openai.readStream(await streams[0]!.rest())).toMatchObject({ output: whole, isComplete: true });
    if (what.startsWith('stalled')) {
      while (performance.now() < stalledAt + 2000) await metric(both[0], 'mizan_redis_up');
      pair.redis.resume();
    }
    const text = await streams[1]!.rest();
    expect(openai.readStream(text)).toMatchObject({ output: whole, isComplete: true, finishes: ['stop'] });
    if (what === 'killed') await pair.redis.start();
    if (what === 'full') await pair.client.config('SET', 'maxmemory', '0');
    await pair.redisIsUp();
  });

  test('with pieces that were altered: they are not passed on', async () => {
    await pair.client.flushall();
    const content = 'altered';
    const streams = [await open(both[0], content), await open(both[1], content)];
    for (const stream of streams) await stream.until(/word0/);
    const [pieces = ''] = await pair.client.keys('*:lease:*');
    const [last] = await pair.client.xrevrange(pieces, '+', '-', 'COUNT', 1);
    const number = Number.parseInt(last![0], 10);
    await pair.client.xadd(pieces, `${number + 1}-1`, 'p', 'made up');
    gates.open(content);
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
    const crowd = new Crowd(500, await both[0].token());
    await pair.once(async (n) => {
      const content = `thousand ${what} ${n}`;
      const one = (i: number) => crowd.ask(both[i % 2]!.url, body(content, isStream(i)));
      const firsts = await pair.firsts(one, () => callsFor(content));
      const others = Array.from({ length: 998 }, (_, i) => one(i + 2));
      await Promise.all(both.map((mizan) => inFlight(mizan, 500)));
      gates.open(content);
      const answers = await Promise.all([...firsts.map(({ it }) => it), ...others]);
      const calls = callsFor(content);
      expect(new Set(answers.map(({ said }) => said))).toEqual(new Set([whole]));
      expect(answers.filter(({ cache }) => cache === 'coalesced')).toHaveLength(1000 - calls);
      return calls;
    });
    await crowd.leave();
  });
});
