import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { RedisServer } from '../../test/support/redis.ts';
import { startRedis } from '../../test/support/redis.ts';
import { Secret } from '../core/secret.ts';
import { away, RedisConnection } from './connection.ts';

let server: RedisServer;

beforeEach(async () => {
  server = await startRedis();
});

afterEach(() => server.end());

/** A connection whose events can be waited for, each in its turn. */
async function connected(url = server.url) {
  const events: string[] = [];
  const waiting: (() => void)[] = [];
  const told = (event: string): void => {
    events.push(event);
    for (const wake of waiting.splice(0)) wake();
  };
  const redis = await RedisConnection.open(new Secret(url), {
    away: (reason) => told(`away: ${reason}`),
    back: () => told('back'),
    refused: (reason) => told(`refused: ${reason}`),
  });
  onTestFinished(() => redis.close());
  /** Until something like this was told, after all that was waited for before. */
  const until = async (event: string): Promise<void> => {
    while (!events.some((each) => each.startsWith(event))) {
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    events.splice(0, events.findIndex((each) => each.startsWith(event)) + 1);
  };
  return { redis, until, events };
}

/** Asks for what it set, until Redis is asked again. */
async function usable(redis: RedisConnection): Promise<void> {
  while (redis.trouble !== null) await new Promise((resolve) => setImmediate(resolve));
}

describe('a connection to Redis', () => {
  test('answers once it stands, and before that says at once that nobody is there', async () => {
    const { redis, events } = await connected();
    expect(await redis.ask((client) => client.get('a'))).toBe(away);
    await usable(redis);
    expect(await redis.ask((client) => client.set('a', '1'))).toBe('OK');
    expect(await redis.ask((client) => client.get('a'))).toBe('1');
    expect(events).toEqual([]);
  });

  test('says that Redis is away when it ends, and asks it again when it is back', async () => {
    const { redis, until } = await connected();
    await usable(redis);
    for (let round = 0; round < 3; round++) {
      await server.stop();
      await until('away: ');
      expect(await redis.ask((client) => client.get('a'))).toBe(away);
      await server.start();
      await until('back');
      expect(await redis.ask((client) => client.get('a'))).toBeNull();
    }
  });

  test('asks nothing more of one that does not answer, after three questions, until it does', async () => {
    const { redis, until } = await connected();
    await usable(redis);
    server.stall();
    let asked = 0;
    const ask = () =>
      redis.ask((client) => {
        asked++;
        return client.get('a');
      });
    for (let i = 0; i < 10; i++) expect(await ask()).toBe(away);
    expect(asked).toBe(3);
    await until('away: slower than 25 ms');
    server.resume();
    await until('back');
    expect(await ask()).toBeNull();
  });

  test('gives a connection up that has gone silent, so that another can take its place', async () => {
    const { redis, until } = await connected();
    await usable(redis);
    let closed: Promise<unknown> | undefined;
    const idOf = () =>
      redis.ask((client) => {
        closed ??= once(client, 'close');
        return client.client('ID');
      });
    const before = await idOf();
    server.stall();
    for (let i = 0; i < 3; i++) await idOf();
    await until('away: slower');
    // By the client: a stopped server closes nothing.
    await closed;
    server.resume();
    await until('back');
    expect(await idOf()).not.toBe(before);
  });

  test('takes a refusal for an answer: Redis is there', async () => {
    const { redis, until, events } = await connected();
    await usable(redis);
    await redis.ask((client) => client.config('SET', 'maxmemory', '1'));
    for (let i = 0; i < 5; i++) expect(await redis.ask((client) => client.set('a', '1'))).toBe(away);
    await until('refused: OOM');
    expect(redis.trouble).toBeNull();
    expect(events).toEqual([]);
    expect(await redis.ask((client) => client.get('a'))).toBeNull();
  });

  test('names a wrong password, and not the password', async () => {
    await server.stop();
    await server.end();
    server = await startRedis('--requirepass', 'right-one');
    const { redis, until, events } = await connected(server.url.replace('//', '//:wrong-one@'));
    await until('away: WRONGPASS');
    expect(redis.trouble).toContain('WRONGPASS');
    expect(events.join(' ') + redis.trouble).not.toContain('wrong-one');
  });
});
