import { Redis } from 'ioredis';
import { expect, vi } from 'vitest';
import { ask as get } from './http.ts';
import type { RunningProcess } from './mizan.ts';
import { furnish, startProcess } from './mizan.ts';
import type { RedisServer } from './redis.ts';
import { startRedis } from './redis.ts';

/** For what takes as long as the machine wants. */
export const slow = { timeout: 60_000, interval: 20 };

/** Two processes of one house that share what is in Redis. */
export interface Pair {
  readonly both: readonly [RunningProcess, RunningProcess];
  readonly redis: RedisServer;
  /** The test's own connection to it. */
  readonly client: Redis;
  /** Resolves once both can use it. */
  redisIsUp(): Promise<void>;
  /**
   * One asks in the first process, and then one in the second, of what the name says; tried anew under another name
   * where Redis had no time for one of the two on a busy machine, since then each asks the upstream for itself.
   * @param ask What the first asks, and how the second does.
   */
  share<T>(
    nameOf: (n: number) => string,
    ask: (name: string) => readonly [Promise<T>, () => Promise<T>],
    upstream: { readonly callsFor: (name: string) => number; readonly over: (name: string) => void },
  ): Promise<{ readonly content: string; readonly first: readonly [Promise<T>, Promise<T>] }>;
  /** How often Redis did not answer one of them in time. */
  unanswered(): Promise<number>;
  end(): Promise<void>;
}

/** @param config As it would stand in `mizan.yaml`, but for Redis. */
export async function startPair(config: object): Promise<Pair> {
  const redis = await startRedis();
  const client = new Redis(redis.url, { retryStrategy: () => 100 });
  client.on('error', () => {});
  const house = await furnish({ redis: { url: redis.url }, ...config });
  const one = await startProcess({}, house);
  const both = [one, await startProcess({}, house)] as const;
  const redisIsUp = async (): Promise<void> => {
    await vi.waitFor(async () => {
      for (const mizan of both) expect(await metric(mizan, 'mizan_redis_up')).toBe(1);
    }, slow);
  };
  await redisIsUp();
  return {
    both,
    redis,
    client,
    redisIsUp,
    async share(nameOf, ask, { callsFor, over }) {
      for (let n = 0; n < 50; n++) {
        const content = nameOf(n);
        await client.flushall();
        const [asking, more] = ask(content);
        await vi.waitFor(() => expect(callsFor(content)).toBe(1), slow);
        const first = [asking, more()] as const;
        // It listens to the other process, or asks for itself.
        let listening: string[] = [];
        await vi.waitFor(async () => {
          listening = await client.keys('mizan:cache:1:*:ears');
          expect(listening.length + callsFor(content)).toBeGreaterThan(1);
        }, slow);
        if (listening.length === 1 && callsFor(content) === 1) return { content, first };
        over(content);
        await Promise.all(first);
      }
      throw new Error('Redis never had time for both.');
    },
    async unanswered() {
      const each = await Promise.all(both.map((mizan) => metric(mizan, 'mizan_redis_unanswered_total')));
      return each.reduce((sum, count) => sum + count, 0);
    },
    async end() {
      client.disconnect();
      await both[1].end();
      await both[0].end();
      await redis.end();
    },
  };
}

/** What one process says of a figure; 0 where it says nothing. */
export async function metric(mizan: Pick<RunningProcess, 'metricsUrl'>, name: string): Promise<number> {
  const { text } = await get(`${mizan.metricsUrl}/metrics`);
  return Number(new RegExp(`^${name.replaceAll(/[{}"]/g, String.raw`\$&`)} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
}

/** Resolves once so many requests are being answered. */
export async function inFlight(mizan: Pick<RunningProcess, 'metricsUrl'>, count: number): Promise<void> {
  await vi.waitFor(async () => expect(await metric(mizan, 'mizan_requests_in_flight')).toBe(count), {
    timeout: 60_000,
    interval: 10,
  });
}
