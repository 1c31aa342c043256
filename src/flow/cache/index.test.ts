import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { preparedChat } from '../../../test/support/attempts.ts';
import type { CacheSetting } from '../../../test/support/cache.ts';
import { cacheOf } from '../../../test/support/cache.ts';
import type { TestCall } from '../../../test/support/calls.ts';
import { servedOf, testCall } from '../../../test/support/calls.ts';
import { TimersClock } from '../../../test/support/clock.ts';
import type { Play } from '../../../test/support/scene.ts';
import { failsWith, inTurn } from '../../../test/support/scene.ts';
import type { ScriptedAttempt } from '../../../test/support/scripted-provider.ts';
import { finishes, role, says, ScriptedProvider } from '../../../test/support/scripted-provider.ts';
import { MizanError } from '../../core/errors.ts';
import type { Answered } from '../attempts/order.ts';
import type { Call } from '../call.ts';
import { RequestNeeds } from '../routing/needs.ts';
import { Models } from '../routing/models.ts';
import { Metrics } from '../../telemetry/metrics.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const says1 =
  (text: string): Play =>
  (attempt) =>
    attempt.head().events(role).events(says(text), finishes('stop')).end();

interface Asking {
  readonly cacheControl?: string;
  readonly content?: string;
}

/** A cache before one instance, which is played. Everything is kept, for 100 s. */
function kitchen(play: Play, setting: CacheSetting = {}) {
  const clock = new TimersClock();
  const world = { clock, random: () => 0 };
  const provider = new ScriptedProvider('p', play);
  const served = servedOf([provider.instance()], {
    world,
    policy: { maxAttempts: 1 },
    model: { timeouts: { connectMs: 1e6, firstByteMs: 1e6, firstTokenMs: 1e6, idleMs: 1e6, totalMs: 1e6 } },
  });
  const policy = { when: 'always' as const, ttlMs: 100_000, ...setting.policy };
  const cache = cacheOf(new Metrics(() => 0), clock, { ...setting, policy });
  const refreshed: Call[] = [];
  const orderOf = (call: TestCall, content: string) => {
    const chat = preparedChat({ model: 'm', messages: [{ role: 'user', content }], stream: true });
    const request = { target: { agent: null }, body: chat.body, stream: true, wantsUsage: false, session: null };
    return {
      call,
      agent: null,
      served,
      models: new Models(new Map([['fast', served]]), new Map(), world),
      needs: new RequestNeeds(request, null),
      chat,
      spending: null,
      clock,
      random: () => 0,
      observe: () => {},
    };
  };
  const ask = ({ cacheControl, content = 'Hi' }: Asking = {}): { call: TestCall; answered: Promise<Answered> } => {
    const call = testCall({ startedAt: clock.monotonic(), cacheControl: cacheControl ?? null });
    const background = async (again: Call): Promise<unknown> => {
      refreshed.push(again);
      const own = testCall({ startedAt: clock.monotonic(), cacheControl: again.cacheControl });
      return cache.answer(orderOf(own, content), background);
    };
    const answered = (async () => cache.answer(orderOf(call, content), background))();
    answered.catch(() => {});
    return { call, answered };
  };
  /** How it went: what the cache did, how old it was, how often the upstream was asked by then; or the error. */
  const went = async (asking: Asking = {}) => {
    const { answered, call } = ask(asking);
    try {
      const { head, error } = await answered;
      const said = /"content":"(\w+)"/.exec(call.sink.text())?.[1];
      return error?.code ?? [head.cache, head.age ?? null, said];
    } catch (error) {
      return (error as MizanError).code;
    }
  };
  return { cache, clock, ask, went, refreshed, attempts: provider.attempts as readonly ScriptedAttempt[] };
}

const counted = (): Play => {
  let calls = 0;
  return (attempt) => says1(`answer${++calls}`)(attempt);
};

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
    const play = inTurn(says1('answer1'), failsWith('server_error'));
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
    const play = inTurn(says1('answer1'), failsWith('rejected'));
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
