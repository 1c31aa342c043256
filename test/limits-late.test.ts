import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '../src/core/clock.ts';
import type { LimitRule } from '../src/core/limit.ts';
import { Secret } from '../src/core/secret.ts';
import type { Account } from '../src/flow/limits/account.ts';
import type { Limiter } from '../src/flow/limits/limiter.ts';
import { RedisConnection } from '../src/redis/connection.ts';
import { RedisLimits } from '../src/redis/limits.ts';
import { principal } from './support/calls.ts';
import { limiterOver, limitRule, limitStore } from './support/limits.ts';
import type { RedisServer } from './support/redis.ts';
import { startRedis } from './support/redis.ts';

vi.setConfig({ testTimeout: 60_000 });

let redis: RedisServer;

beforeEach(async () => {
  redis = await startRedis();
});

afterEach(() => redis.end());

let machines = 0;

interface Machine {
  readonly limiter: Limiter;
  readonly connection: RedisConnection;
  /** Lets one in; `null` where there was no room. */
  admit(): Promise<Account | null>;
}

/** One that has told Redis of itself. */
async function machine(rule: Partial<LimitRule>): Promise<Machine> {
  const store = await limitStore();
  const connection = await RedisConnection.open(new Secret(redis.url), { away() {}, back() {}, refused() {} });
  onTestFinished(() => connection.close());
  const shared = new RedisLimits(connection, `machine ${machines++}`);
  const limiter = limiterOver(store, systemClock, { limits: [limitRule(rule)] }, { shared });
  onTestFinished(() => limiter.close());
  const admit = async (): Promise<Account | null> => {
    const account = await limiter.admit({ principal, agent: null, model: 'fast' });
    return account === null || account.refusal !== null ? null : account;
  };
  await vi.waitFor(() => expect(limiter.isByShare).toBe(false), 15_000);
  return { limiter, connection, admit };
}

/** Redis answers nobody for so long, in ms, and has heard all by then. */
async function late(ms: number, during: () => Promise<unknown>): Promise<void> {
  const { Redis: Client } = await import('ioredis');
  const client: Redis = new Client(redis.url);
  await client.call('CLIENT', 'PAUSE', ms, 'ALL');
  await during();
  await client.ping();
  client.disconnect();
}

const left = (account: Account | null): number => account?.quota()?.requests?.remaining ?? 0;

test('what was let in without a word of Redis counts for this machine at once, and soon for all', async () => {
  const both = [await machine({ rpm: 800 }), await machine({ rpm: 800 })] as const;
  const [one] = both;
  let admitted = 0;
  const admit = async ({ admit: ask }: Machine): Promise<number> => {
    const account = await ask();
    if (account !== null) admitted++;
    return left(account);
  };
  await admit(one);
  await late(60, () => admit(one));
  expect(admitted).toBe(2);
  // By the time this is answered, what was counted too late has been taken back.
  await one.connection.ask((client) => client.ping());
  expect(await admit(one)).toBeLessThanOrEqual(797);
  for (const each of both) {
    await vi.waitFor(async () => expect(await admit(each)).toBe(800 - admitted), { timeout: 15_000, interval: 100 });
  }
});

test('a limit is exceeded by a sixteenth for each machine, however often Redis is late', async () => {
  // What is told every second would hide what is not told at once.
  vi.useFakeTimers({ toFake: ['setInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  const both = [await machine({ rpm: 48 }), await machine({ rpm: 48 })];
  let admitted = 0;
  const askAll = async (): Promise<void> => {
    for (const account of await Promise.all(both.map(({ admit }) => admit()))) if (account !== null) admitted++;
  };
  for (let i = 0; i < 5; i++) {
    await late(30, askAll);
    await late(30, askAll);
    await askAll();
  }
  for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 4 }, askAll));
  expect(admitted).toBeLessThanOrEqual(48 + 2 * 3);
});

test('what was asked when Redis was lost holds nothing once it is back', async () => {
  const { admit, connection } = await machine({ maxInFlight: 10 });
  (await admit())?.close();
  const { losses } = connection;
  redis.stall();
  const unheard = await Promise.all(Array.from({ length: 4 }, admit));
  await vi.waitFor(() => expect(connection.losses).toBeGreaterThan(losses), { timeout: 10_000, interval: 20 });
  redis.resume();
  await vi.waitFor(() => expect(connection.trouble).toBeNull(), { timeout: 10_000, interval: 1 });
  // Without Redis, it keeps to its share.
  const held = [...unheard, await admit()].filter((account) => account !== null).length;
  const told = await connection.ask((client) => client.hvals('mizan:{limits}:inFlight:limits/limit'));
  expect(told).toEqual([String(held)]);
});
