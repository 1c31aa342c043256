import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { counted, kitchen, saying } from '../../../test/support/kitchen.ts';
import type { Play } from '../../../test/support/scene.ts';
import { failsWith, inTurn } from '../../../test/support/scene.ts';
import { finishes, role, says } from '../../../test/support/scripted-provider.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('Cache-Control (RFC 9111 §5.2.1), with an answer of 50 s that is kept for 100 s', () => {
  const hit = ['hit', 50, 'answer1'];
  const anew = ['miss', null, 'answer2'];
  const past = ['bypass', null, 'answer2'];
  test.each([
    ['max-age=50', hit, hit],
    ['max-age=49', anew, ['hit', 0, 'answer2']],
    ['max-age=0', anew, ['hit', 0, 'answer2']],
    ['max-age=49, max-age=60', hit, hit],
    ['max-age=1000', hit, hit],
    ['no-cache', anew, ['hit', 0, 'answer2']],
    ['no-cache, max-age=60', anew, ['hit', 0, 'answer2']],
    ['no-store', past, hit],
    ['no-store, max-age=60', past, hit],
    ['no-store, no-cache', past, hit],
    ['only-if-cached', hit, hit],
    ['only-if-cached, max-age=50', hit, hit],
    ['only-if-cached, max-age=49', 'not_cached', hit],
    ['only-if-cached, max-age=0', 'not_cached', hit],
    ['only-if-cached, no-cache', 'not_cached', hit],
    ['only-if-cached, no-store', 'not_cached', hit],
    ['min-fresh=60, max-stale=1, no-transform', hit, hit],
  ])('%s', async (cacheControl, expected, afterwards) => {
    const { went, clock, attempts } = kitchen(counted());
    expect(await went()).toEqual(['miss', null, 'answer1']);
    clock.advance(50_000);
    expect(await went({ cacheControl })).toEqual(expected);
    expect(attempts.length).toBe(expected === anew || expected === past ? 2 : 1);
    expect(await went()).toEqual(afterwards);
  });

  test('only-if-cached asks nobody where nothing is kept', async () => {
    const { went, attempts } = kitchen(counted());
    expect(await went({ cacheControl: 'only-if-cached' })).toBe('not_cached');
    expect(attempts).toHaveLength(0);
  });
});

describe('an answer that is past its time', () => {
  test('is given while a newer one is fetched, once, for as long as its model says', async () => {
    const models = { fast: { version: '1', policy: { revalidateMs: 60_000 } } };
    const { went, clock, refreshed, attempts } = kitchen(counted(), { models });
    await went();
    clock.advance(100_000);
    expect(await Promise.all([went(), went()])).toEqual([
      ['hit', 100, 'answer1'],
      ['hit', 100, 'answer1'],
    ]);
    expect(refreshed.map(({ cacheControl }) => cacheControl)).toEqual(['no-cache']);
    await vi.waitFor(async () => expect(await went()).toEqual(['hit', 0, 'answer2']));
    expect(attempts).toHaveLength(2);
    clock.advance(160_000);
    expect(await went()).toEqual(['miss', null, 'answer3']);
  });

  test('is not for those who say how old it may be, and nothing is fetched for those who want nobody asked', async () => {
    const { went, clock, refreshed, attempts } = kitchen(counted(), { policy: { revalidateMs: 60_000 } });
    await went();
    clock.advance(120_000);
    expect(await went({ cacheControl: 'only-if-cached' })).toEqual(['hit', 120, 'answer1']);
    expect([refreshed.length, attempts.length]).toEqual([0, 1]);
    expect(await went({ cacheControl: 'only-if-cached, max-age=200' })).toBe('not_cached');
    expect(await went({ cacheControl: 'max-age=200' })).toEqual(['miss', null, 'answer2']);
  });

  test('is given where the upstream fails, for as long as its model says, with the attempts that failed', async () => {
    const models = { fast: { version: '1', policy: { rescueMs: 60_000 } } };
    const play = inTurn(saying('answer1'), failsWith('server_error'));
    const { ask, went, clock, attempts } = kitchen(play, { models });
    await went();
    clock.advance(130_000);
    const { head, error, trail } = await ask().answered;
    expect([head.cache, head.age, head.attempts, error, trail.length]).toEqual(['hit', 130, 1, null, 1]);
    expect(await went({ cacheControl: 'only-if-cached' })).toBe('not_cached');
    clock.advance(30_000);
    expect(await went()).toBe('upstream_error');
    expect(attempts).toHaveLength(3);
  });

  test('is not given in the place of a refusal', async () => {
    const play = inTurn(saying('answer1'), failsWith('rejected'));
    const { went, clock } = kitchen(play, { policy: { rescueMs: 60_000 } });
    await went();
    clock.advance(110_000);
    expect(await went()).toBe('upstream_rejected');
  });
});

describe('those who share a stream', () => {
  const long: Play = (attempt) => {
    attempt.head().events(role).events(says('first'));
  };

  test('and read nothing are waited for until the time of the call is over, and nobody else is', async () => {
    const { ask, attempts } = kitchen(long);
    const all = [ask(), ask()];
    await vi.waitFor(() => expect(all.map(({ call }) => call.sink.heads.length)).toEqual([1, 1]));
    all[1]!.call.sink.isFull = true;
    attempts[0]!.events(says('second')).events(says('third'), finishes('stop')).end();
    expect((await all[0]!.answered).error).toBe(null);
    let isOver = false;
    void all[1]!.answered.then(() => {
      isOver = true;
    });
    await vi.advanceTimersByTimeAsync(999_000);
    expect(isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(2000);
    expect((await all[1]!.answered).error?.code).toBe('client_too_slow');
    expect(all[1]!.call.sink.text()).not.toContain('third');
  });

  test('and are ended with the process: the upstream is left once, and nothing of it is kept', async () => {
    const { ask, cache, attempts } = kitchen(long);
    const all = [ask(), ask(), ask()];
    await vi.waitFor(() => expect(all.map(({ call }) => call.sink.heads.length)).toEqual([1, 1, 1]));
    for (const { call } of all) call.leave();
    const errors = (await Promise.all(all.map(({ answered }) => answered))).map(({ error }) => error?.code);
    expect(errors).toEqual(['client_closed', 'client_closed', 'client_closed']);
    expect(attempts.map(({ done }) => done)).toEqual([['cancel']]);
    await cache.close();
    expect(cache.holding()).toEqual({ entries: 0, bytes: 0 });
  });
});

describe('its own memory', () => {
  test('is cleaned once an hour, and not any more once it is closed', async () => {
    const { went, cache, clock } = kitchen(counted());
    await went();
    clock.advance(100_000);
    expect(cache.holding().entries).toBe(1);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(cache.holding().entries).toBe(0);
    await went();
    await cache.close();
    await vi.advanceTimersByTimeAsync(7_200_000);
    expect(cache.holding().entries).toBe(1);
  });
});
