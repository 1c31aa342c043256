import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { RedisServer } from '../../test/support/redis.ts';
import { startRedis } from '../../test/support/redis.ts';
import { ManualClock } from '../../test/support/clock.ts';
import { counted, kitchen } from '../../test/support/kitchen.ts';
import type { CachedAnswer, CacheKey } from '../core/response-cache.ts';
import { Secret } from '../core/secret.ts';
import { unknownUsage } from '../core/usage.ts';
import type { Store } from '../store/index.ts';
import { openStore } from '../store/index.ts';
import { RedisConnection } from './connection.ts';
import { purgeChannel, purgeList } from './purges.ts';
import { RedisAnswers } from './shared-answers.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let server: RedisServer;
let store: Store;
let folder: string;
let client: Redis;

beforeAll(async () => {
  server = await startRedis();
  client = new Redis(server.url);
  folder = mkdtempSync(join(tmpdir(), 'mizan-test-'));
  store = await openStore({ folder, url: null });
});

afterAll(async () => {
  client.disconnect();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
  await server.end();
});

beforeEach(async () => {
  await client.flushall();
});

const slow = { timeout: 30_000, interval: 10 };

/** Answers as one process sees them. */
async function answers(maxBytesPerTenant = Infinity) {
  const redis = await RedisConnection.open(new Secret(server.url), { away() {}, back() {}, refused() {} });
  await vi.waitFor(() => expect(redis.trouble).toBe(null), slow);
  let refused = 0;
  const shared = new RedisAnswers(redis, store.vault.ring, {
    maxBytesPerTenant,
    unfinishedPurges: store.unfinishedPurges,
    refused: () => refused++,
  });
  const end = async (): Promise<void> => {
    await shared.close();
    redis.close();
  };
  onTestFinished(end);
  return { shared, end, refused: () => refused };
}

const keyOf = (hash: string, over: Partial<CacheKey> = {}): CacheKey => ({
  hash,
  tenant: 'acme',
  agent: null,
  model: 'fast',
  ...over,
});

function answerOf(text: string): CachedAnswer {
  const now = Date.now();
  const times = { storedAt: now, freshUntil: now + 60_000, refreshUntil: now + 60_000, rescueUntil: now + 90_000 };
  return {
    kind: 'stream',
    body: Buffer.from(`data: ${text}\n\n`),
    usageEvent: Buffer.from('data: usage\n\n'),
    usage: { ...unknownUsage, inputTokens: 1, source: 'upstream' },
    finishReason: 'stop',
    model: 'fast',
    instance: 'a',
    provider: 'p',
    ...times,
  };
}

/** What was said, once it is there. */
async function landed(
  shared: RedisAnswers,
  key: CacheKey,
  isWaiting = false,
  timeout = slow.timeout,
): Promise<CachedAnswer> {
  return vi.waitFor(
    async () => {
      const { found } = await shared.look(key, '', isWaiting);
      if (found === null) throw new Error('It is not there yet.');
      return found;
    },
    { ...slow, timeout },
  );
}

/** Keeps it, and comes back when it is there; once more where Redis had no time for it on a busy machine. */
async function keep(shared: RedisAnswers, key: CacheKey, answer: CachedAnswer): Promise<CachedAnswer> {
  for (let i = 0; ; i++) {
    shared.land(key, 't', answer, true);
    const found = await landed(shared, key, false, 2000).catch((error: unknown) => {
      if (i > 10) throw error;
    });
    if (found !== undefined) return found;
  }
}

/** What a look comes to, once Redis has time for it: on a busy machine it may not have at first. */
async function looked(shared: RedisAnswers, ...asked: Parameters<RedisAnswers['look']>) {
  return vi.waitFor(async () => {
    const look = await shared.look(...asked);
    if (look.found === null && look.turn === 'away') throw new Error('Redis had no time.');
    return look;
  }, slow);
}

describe('an answer', () => {
  test.each(['سلام', 'x'.repeat(20_000)])('comes back as it was, for as long as it is of use: %#', async (text) => {
    const [one, other] = [await answers(), await answers()];
    const answer = answerOf(text);
    await keep(one.shared, keyOf('1'), answer);
    expect(await landed(other.shared, keyOf('1'))).toEqual(answer);
    const [name = ''] = await client.keys('mizan:cache:*');
    expect(await client.pttl(name)).toBeGreaterThan(80_000);
    expect(await client.pttl(name)).toBeLessThanOrEqual(90_000);
    expect(await client.strlen(name)).toBeLessThan(1000);
  });

  test('of another tenant or key does not open', async () => {
    const { shared, refused } = await answers();
    await keep(shared, keyOf('1'), answerOf('x'));
    const [name = ''] = await client.keys('mizan:cache:*');
    await client.copy(name, name.replace('{1}', '{2}'));
    expect(await looked(shared, keyOf('2'), '', false)).toEqual({ found: null, turn: 'mine' });
    expect(refused()).toBe(1);
  });
});

describe('whose turn it is', () => {
  test('is the first one to ask, until it is done', async () => {
    const [one, other] = [await answers(), await answers()];
    expect(await looked(one.shared, keyOf('1'), 'a', false)).toEqual({ found: null, turn: 'mine' });
    expect(await looked(other.shared, keyOf('1'), 'b', false)).toMatchObject({ found: null, turn: 'theirs' });
    one.shared.land(keyOf('1'), 'a', null, false);
    await vi.waitFor(async () => {
      expect(await looked(other.shared, keyOf('1'), 'b', true)).toEqual({ found: null, turn: 'mine' });
    }, slow);
  });

  test('an answer that is not kept is there for those who wait, and for nobody else', async () => {
    const { shared } = await answers();
    shared.land(keyOf('1'), 'a', answerOf('x'), false);
    await landed(shared, keyOf('1'), true);
    expect(await looked(shared, keyOf('1'), '', false)).toMatchObject({ found: null });
  });

  test('is anybody’s where the process that has it says nothing any more', async () => {
    const { shared } = await answers();
    await looked(shared, keyOf('1'), 'a', false);
    const [name = ''] = await client.keys('*:lease');
    expect(await client.pttl(name)).toBeGreaterThan(0);
    expect(await client.pttl(name)).toBeLessThanOrEqual(2000);
  });

  test('is told with an answer that is too old', async () => {
    const { shared } = await answers();
    const answer = answerOf('x');
    await keep(shared, keyOf('1'), answer);
    expect(await looked(shared, keyOf('1'), 'b', false, true)).toEqual({ found: null, turn: 'mine', old: answer });
    const { shared: other } = await answers();
    expect(await looked(other, keyOf('1'), 'c', false, true)).toMatchObject({
      found: null,
      turn: 'theirs',
      old: answer,
    });
  });
});

test('of two processes with the same old answer, one fetches a newer one, and the other takes that', async () => {
  const policy = { ttlMs: 100_000, revalidateMs: 3_600_000 };
  const [{ shared: one }, { shared: other }] = [await answers(), await answers()];
  const play = counted();
  const both = [
    kitchen(play, { policy, shared: one }, new ManualClock()),
    kitchen(play, { policy, shared: other }, new ManualClock()),
  ] as const;
  expect(await both[0].went()).toEqual(['miss', null, 'answer1']);
  await vi.waitFor(async () => expect(await both[1].went()).toEqual(['hit', 0, 'answer1']), slow);
  for (const { clock } of both) clock.advance(200_000);
  expect(await both[0].went()).toEqual(['hit', 200, 'answer1']);
  await vi.waitFor(async () => expect(await both[0].went()).toEqual(['hit', 0, 'answer2']), slow);
  // The new one is in Redis a moment later than in the memory of whoever has made it.
  await vi.waitFor(async () => expect(await client.keys('*:lease')).toEqual([]), slow);
  expect(await both[1].went()).toEqual(['hit', 200, 'answer1']);
  await vi.waitFor(async () => expect(await both[1].went()).toEqual(['hit', 0, 'answer2']), slow);
  expect(both.map(({ refreshed }) => refreshed.length)).toEqual([1, 0]);
});

describe('an answer under way', () => {
  const signal = new AbortController().signal;
  const head = { kind: 'head', model: 'fast', instance: 'a', provider: 'p' } as const;
  const part = (text: string) => ({ kind: 'part', bytes: Buffer.from(text), isUsage: false }) as const;

  /** One that tells, and one that listens. */
  async function telling() {
    const [one, other] = [await answers(), await answers()];
    await looked(one.shared, keyOf('1'), 'a', false);
    const changes: [boolean, boolean][] = [];
    const audience = { changed: (...change: [boolean, boolean]) => void changes.push(change) };
    const teller = one.shared.tell(keyOf('1'), 'a', audience);
    const look = await looked(other.shared, keyOf('1'), 'b', false);
    const holder = 'holder' in look ? look.holder : '';
    /** What is heard until there are so many words. */
    const heard = async (count: number) => {
      const words: unknown[] = [];
      let upTo = 0;
      while (words.length < count) {
        const heardNow = await other.shared.hear(keyOf('1'), { holder, upTo }, signal);
        if (heardNow === 'away') continue;
        if (heardNow.isBroken) return { words, isBroken: true };
        words.push(...heardNow.words);
        upTo = heardNow.upTo;
      }
      return { words, isBroken: false };
    };
    return { one, other, teller, holder, changes, heard };
  }

  test('is heard word by word, in order, once', async () => {
    const { teller, heard } = await telling();
    const parts = Array.from({ length: 300 }, (_, i) => part(`${i} ${'x'.repeat(1000)}`));
    teller.say(head);
    for (const each of parts) {
      teller.say(each);
      if (parts.indexOf(each) % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await heard(301)).words).toEqual([head, ...parts]);
  });

  test('tells the one whose it is who listens, and when nobody does any more', async () => {
    const { teller, changes, heard } = await telling();
    teller.say(head);
    await heard(1);
    await vi.waitFor(() => expect(changes.at(-1)).toEqual([true, true]), slow);
    await client.del(await client.keys('*:ears'));
    await vi.waitFor(() => expect(changes.at(-1)).toEqual([false, false]), slow);
  });

  test('with a piece that was altered, moved or lost is heard up to there', async () => {
    const { teller, heard, other } = await telling();
    teller.say(head);
    await heard(1);
    const [pieces = ''] = await client.keys('*:lease:*');
    await client.xadd(pieces, '3-1', 'p', 'made up');
    expect(await heard(2)).toEqual({ words: [head], isBroken: true });
    const first = (await client.xrange(pieces, '-', '+'))[0]![1][1]!;
    await client.del(pieces);
    await client.xadd(pieces, '1-1', 'p', first);
    expect(await heard(1)).toMatchObject({ isBroken: true });
    expect(other.refused()).toBe(1);
  });

  test('lies there for a moment only, sealed', async () => {
    const { teller, heard } = await telling();
    teller.say(part('a secret'));
    await heard(1);
    const [pieces = ''] = await client.keys('*:lease:*');
    expect(await client.pttl(pieces)).toBeLessThanOrEqual(10_000);
    expect(JSON.stringify(await client.xrange(pieces, '-', '+'))).not.toContain('secret');
  });
});

describe('removing', () => {
  test('a selection, in every process', async () => {
    const [one, other] = [await answers(), await answers()];
    const keys = [keyOf('1'), keyOf('2', { agent: 'a' }), keyOf('3', { tenant: 'other' })];
    for (const key of keys) {
      await keep(one.shared, key, answerOf('x'));
    }
    const told = Promise.withResolvers<boolean[]>();
    other.shared.watch((isPurged) => told.resolve(keys.map(isPurged)));
    expect(await one.shared.purge({ tenant: 'acme', agent: 'a' })).toMatchObject({ entries: 1 });
    expect(await told.promise).toEqual([false, true, false]);
    expect(await looked(one.shared, keyOf('2', { agent: 'a' }), '', false)).toMatchObject({ found: null });
    expect(await one.shared.purge({})).toMatchObject({ entries: 2 });
  });

  test('the hourly cleaning takes what has no time to live, and what a tenant has too much', async () => {
    const { shared } = await answers(1500);
    const text = Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 7919) % 256)).toString('hex');
    for (let i = 0; i < 10; i++) await keep(shared, keyOf(String(i)), answerOf(`${text}${i}`));
    await keep(shared, keyOf('o', { tenant: 'other' }), answerOf('x'));
    await client.set('mizan:cache:0:left:behind', 'x');
    await client.set('somebody:elses', 'x');
    const freed = await shared.cleanup(new AbortController().signal);
    const names = await client.keys('mizan:cache:2:*');
    const sizes = await Promise.all(names.map(async (name) => Number(await client.memory('USAGE', name))));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(3000);
    expect(freed.entries).toBe(12 - names.length);
    expect(await client.exists('mizan:cache:0:left:behind', 'somebody:elses')).toBe(1);
    expect((await looked(shared, keyOf('o', { tenant: 'other' }), '', false)).found).not.toBe(null);
  });

  test('what a tenant has too much goes in the order of its last use', async () => {
    const { shared } = await answers(4000);
    const text = Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 7919) % 256)).toString('hex');
    for (let i = 0; i < 10; i++) {
      const key = keyOf(String(i));
      await keep(shared, key, answerOf(`${text}${i}`));
      const [name = ''] = await client.keys(`*{${i}}`);
      const value = await client.dumpBuffer(name);
      // The odd ones were used long ago, each longer than the one before.
      const idle = i % 2 === 0 ? 10 : 1000 * (i + 1);
      await client.call('RESTORE', [name, 60_000, value, 'REPLACE', 'IDLETIME', idle]);
    }
    const { entries } = await shared.cleanup(new AbortController().signal);
    const left = (await client.keys('mizan:cache:2:*')).map((name) => Number(/\{(\d)\}/.exec(name)?.[1]));
    expect(left).toHaveLength(10 - entries);
    expect(left.length).toBeGreaterThan(2);
    const byUse = [9, 7, 5, 3, 1];
    const gone = byUse.filter((i) => !left.includes(i));
    expect(gone).toEqual(byUse.slice(0, gone.length));
    const lately = [0, 2, 4, 6, 8].filter((i) => left.includes(i)).length;
    expect(lately === 5 || gone.length === 5).toBe(true);
  });

  test('goes on until Redis is back, and nothing of it is given meanwhile', async () => {
    const [one, other] = [await answers(), await answers()];
    await keep(one.shared, keyOf('1'), answerOf('x'));
    await landed(other.shared, keyOf('1'));
    const told = Promise.withResolvers<void>();
    other.shared.watch(() => told.resolve());
    server.stall();
    expect(await one.shared.purge({})).toEqual({ entries: 0, bytes: 0, complete: false });
    server.resume();
    await vi.waitFor(
      async () => expect(await looked(one.shared, keyOf('1'), '', false)).toMatchObject({ turn: 'mine' }),
      slow,
    );
    await told.promise;
    await vi.waitFor(async () => expect(await client.keys('*}')).toEqual([]), slow);
  });

  test('is finished by the next process, where this one ends before', async () => {
    const one = await answers();
    const key = keyOf('1');
    await keep(one.shared, key, answerOf('x'));
    server.stall();
    const purging = one.shared.purge({ model: 'fast' });
    await one.end();
    expect(await purging).toMatchObject({ complete: false });
    expect(store.unfinishedPurges.all()).toHaveLength(1);
    server.resume();
    const next = await answers();
    // It is not given from the start, and soon not there any more.
    expect(await looked(next.shared, key, '', false)).toMatchObject({ found: null });
    await vi.waitFor(async () => expect(await client.keys('*}')).toEqual([]), slow);
    await vi.waitFor(() => expect(store.unfinishedPurges.all()).toEqual([]), slow);
    expect((await keep(next.shared, key, answerOf('new'))).body.toString()).toContain('new');
  });

  test('is told to everybody again where Redis has lost it', async () => {
    const [one, other] = [await answers(), await answers()];
    expect(await one.shared.purge({ model: 'fast' })).toMatchObject({ complete: true });
    await client.flushall();
    const told = Promise.withResolvers<boolean>();
    const third = await answers();
    third.shared.watch((isPurged) => told.resolve(isPurged(keyOf('1'))));
    expect(await told.promise).toBe(true);
    expect(store.unfinishedPurges.all()).toEqual([]);
    await other.end();
  });

  test('is heard of by who listens, before it looks', async () => {
    const [one, other] = [await answers(), await answers()];
    const told = Promise.withResolvers<boolean>();
    other.shared.watch((isPurged) => told.resolve(isPurged(keyOf('1'))));
    await vi.waitFor(async () => expect(await client.pubsub('NUMSUB', purgeChannel)).toEqual([purgeChannel, 2]), slow);
    // Only published: it is in no list that could be looked at.
    await client.publish(purgeChannel, JSON.stringify({ tags: [null, null, null], before: Date.now() }));
    expect(await told.promise).toBe(true);
    await one.end();
  });

  test('is found by who listened in vain', async () => {
    const { shared } = await answers();
    await vi.waitFor(async () => expect(await client.pubsub('NUMSUB', purgeChannel)).toEqual([purgeChannel, 1]), slow);
    const told = Promise.withResolvers<boolean>();
    shared.watch((isPurged) => told.resolve(isPurged(keyOf('1'))));
    // It has looked when it began to listen.
    await vi.waitFor(async () => expect(await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')).toBe(1), slow);
    await client.rpush(purgeList, JSON.stringify({ tags: [null, null, null], before: Date.now() }));
    expect(await told.promise).toBe(true);
  });

  test('neither rejects nor waits where Redis is away', async () => {
    const { shared } = await answers();
    server.stall();
    expect(await shared.purge({})).toEqual({ entries: 0, bytes: 0, complete: false });
    expect(await shared.look(keyOf('1'), 'a', false)).toEqual({ found: null, turn: 'away' });
    shared.land(keyOf('1'), 'a', answerOf('x'), true);
    server.resume();
  });
});
