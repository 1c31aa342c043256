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
    models: { gated: { instances: [{ id: 'a', provider: 'mock', model: 'gated' }], cache: 'always', health: everInUse } },
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
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
}

async function redisIsUp(): Promise<void> {
  await vi.waitFor(async () => {
    for (const mizan of both) expect(await metric(mizan, 'mizan_redis_up')).toBe(1);
  }, slow);
}

const callsFor = (content: string): number =>
  upstream.requestsTo('gated').filter((received) => contentOf(received) === content).length;

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
    expect(row).toMatchObject({ status: 200, cache: 'coalesced', attempts: 0, usage: { output_tokens: 3, cost_usd: 0 } });
  });
});
