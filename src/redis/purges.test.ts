import { describe, expect, test, vi } from 'vitest';
import { purgeChannel, purgeList } from './purges.ts';
import { answerOf, keep, keyOf, landed, looked, SharedStage, slow } from './shared-answers.suite.ts';

const stage = new SharedStage();

describe('removing', () => {
  test('a selection, in every process', async () => {
    const [one, other] = [await stage.answers(), await stage.answers()];
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
    const { shared } = await stage.answers(1500);
    const text = Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 7919) % 256)).toString('hex');
    for (let i = 0; i < 10; i++) await keep(shared, keyOf(String(i)), answerOf(`${text}${i}`));
    await keep(shared, keyOf('o', { tenant: 'other' }), answerOf('x'));
    await stage.client.set('mizan:cache:0:left:behind', 'x');
    await stage.client.set('somebody:elses', 'x');
    const freed = await shared.cleanup(new AbortController().signal);
    const names = await stage.client.keys('mizan:cache:2:*');
    const sizes = await Promise.all(names.map(async (name) => Number(await stage.client.memory('USAGE', name))));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(3000);
    expect(freed.entries).toBe(12 - names.length);
    expect(await stage.client.exists('mizan:cache:0:left:behind', 'somebody:elses')).toBe(1);
    expect((await looked(shared, keyOf('o', { tenant: 'other' }), '', false)).found).not.toBe(null);
  });

  test('what a tenant has too much goes in the order of its last use', async () => {
    const { shared } = await stage.answers(4000);
    const text = Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 7919) % 256)).toString('hex');
    for (let i = 0; i < 10; i++) {
      const key = keyOf(String(i));
      await keep(shared, key, answerOf(`${text}${i}`));
      const [name = ''] = await stage.client.keys(`*{${i}}`);
      const value = await stage.client.dumpBuffer(name);
      // The odd ones were used long ago, each longer than the one before.
      const idle = i % 2 === 0 ? 10 : 1000 * (i + 1);
      await stage.client.call('RESTORE', [name, 60_000, value, 'REPLACE', 'IDLETIME', idle]);
    }
    const { entries } = await shared.cleanup(new AbortController().signal);
    const left = (await stage.client.keys('mizan:cache:2:*')).map((name) => Number(/\{(\d)\}/.exec(name)?.[1]));
    expect(left).toHaveLength(10 - entries);
    expect(left.length).toBeGreaterThan(2);
    const byUse = [9, 7, 5, 3, 1];
    const gone = byUse.filter((i) => !left.includes(i));
    expect(gone).toEqual(byUse.slice(0, gone.length));
    const lately = [0, 2, 4, 6, 8].filter((i) => left.includes(i)).length;
    expect(lately === 5 || gone.length === 5).toBe(true);
  });

  test('goes on until Redis is back, and nothing of it is given meanwhile', async () => {
    const [one, other] = [await stage.answers(), await stage.answers()];
    await keep(one.shared, keyOf('1'), answerOf('x'));
    await landed(other.shared, keyOf('1'));
    const told = Promise.withResolvers<void>();
    other.shared.watch(() => told.resolve());
    stage.server.stall();
    expect(await one.shared.purge({})).toEqual({ entries: 0, bytes: 0, complete: false });
    stage.server.resume();
    await vi.waitFor(
      async () => expect(await looked(one.shared, keyOf('1'), '', false)).toMatchObject({ turn: 'mine' }),
      slow,
    );
    await told.promise;
    await vi.waitFor(async () => expect(await stage.client.keys('*}')).toEqual([]), slow);
  });

  test('is finished by the next process, where this one ends before', async () => {
    const one = await stage.answers();
    const key = keyOf('1');
    await keep(one.shared, key, answerOf('x'));
    stage.server.stall();
    const purging = one.shared.purge({ model: 'fast' });
    await one.end();
    expect(await purging).toMatchObject({ complete: false });
    expect(stage.store.unfinishedPurges.all()).toHaveLength(1);
    stage.server.resume();
    const next = await stage.answers();
    // It is not given from the start, and soon not there any more.
    expect(await looked(next.shared, key, '', false)).toMatchObject({ found: null });
    await vi.waitFor(async () => expect(await stage.client.keys('*}')).toEqual([]), slow);
    await vi.waitFor(() => expect(stage.store.unfinishedPurges.all()).toEqual([]), slow);
    expect((await keep(next.shared, key, answerOf('new'))).body.toString()).toContain('new');
  });

  test('is told to everybody again where Redis has lost it', async () => {
    const [one, other] = [await stage.answers(), await stage.answers()];
    expect(await one.shared.purge({ model: 'fast' })).toMatchObject({ complete: true });
    await stage.client.flushall();
    const told = Promise.withResolvers<boolean>();
    const third = await stage.answers();
    third.shared.watch((isPurged) => told.resolve(isPurged(keyOf('1'))));
    expect(await told.promise).toBe(true);
    expect(stage.store.unfinishedPurges.all()).toEqual([]);
    await other.end();
  });

  test('is heard of by who listens, before it looks', async () => {
    const [one, other] = [await stage.answers(), await stage.answers()];
    const told = Promise.withResolvers<boolean>();
    other.shared.watch((isPurged) => told.resolve(isPurged(keyOf('1'))));
    await vi.waitFor(
      async () => expect(await stage.client.pubsub('NUMSUB', purgeChannel)).toEqual([purgeChannel, 2]),
      slow,
    );
    // Only published: it is in no list that could be looked at.
    await stage.client.publish(purgeChannel, JSON.stringify({ tags: [null, null, null], before: Date.now() }));
    expect(await told.promise).toBe(true);
    await one.end();
  });

  test('is found by who listened in vain', async () => {
    const { shared } = await stage.answers();
    await vi.waitFor(
      async () => expect(await stage.client.pubsub('NUMSUB', purgeChannel)).toEqual([purgeChannel, 1]),
      slow,
    );
    const told = Promise.withResolvers<boolean>();
    shared.watch((isPurged) => told.resolve(isPurged(keyOf('1'))));
    // It has looked when it began to listen.
    await vi.waitFor(async () => expect(await stage.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')).toBe(1), slow);
    await stage.client.rpush(purgeList, JSON.stringify({ tags: [null, null, null], before: Date.now() }));
    expect(await told.promise).toBe(true);
  });

  test('neither rejects nor waits where Redis is away', async () => {
    const { shared } = await stage.answers();
    stage.server.stall();
    expect(await shared.purge({})).toEqual({ entries: 0, bytes: 0, complete: false });
    expect(await shared.look(keyOf('1'), 'a', false)).toEqual({ found: null, turn: 'away' });
    shared.land(keyOf('1'), 'a', answerOf('x'), true);
    stage.server.resume();
  });
});
