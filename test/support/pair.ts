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
   * Plays rounds until one had a single upstream call. A round may have had more only where Redis had no time on a busy
   * machine in that very round, once for each such question, since then a process asks for itself; and ten rounds in a row
   * may not.
   */
  once(round: (n: number) => Promise<number>): Promise<void>;
  /** One asks in the first process, then one in the second, before anybody else; resolves once both have looked around. */
  firsts<T>(
    ask: (i: number) => Promise<T>,
    calls: () => number,
  ): Promise<readonly [{ it: Promise<T> }, { it: Promise<T> }]>;
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
  const sumOf = async (name: string): Promise<number> => {
    const each = await Promise.all(both.map((mizan) => metric(mizan, name)));
    return each.reduce((sum, count) => sum + count, 0);
  };
  const unanswered = (): Promise<number> => sumOf('mizan_redis_unanswered_total');
  const looked = (): Promise<number> => sumOf('mizan_cache_lookup_seconds_count{tier="redis"}');
  return {
    both,
    redis,
    client,
    redisIsUp,
    async once(round) {
      for (let n = 0, calls = 0; calls !== 1; n++) {
        expect(n).toBeLessThan(10);
        await client.flushall();
        const silent = await unanswered();
        calls = await round(n);
        expect(calls).toBeGreaterThan(0);
        expect(calls).toBeLessThanOrEqual(1 + (await unanswered()) - silent);
      }
    },
    async firsts(asks, calls) {
      const looks = await looked();
      const first = { it: asks(0) };
      await vi.waitFor(() => expect(calls()).toBe(1), slow);
      const second = { it: asks(1) };
      await vi.waitFor(async () => expect(await looked()).toBe(looks + 2), slow);
      return [first, second];
    },
    unanswered,
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
