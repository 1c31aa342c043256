import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { testCall } from '../../../test/support/calls.ts';
import type { Play } from '../../../test/support/scene.ts';
import { answers, failsWith, inTurn, patientHealth, scene } from '../../../test/support/scene.ts';
import { finishes, role, says, uses } from '../../../test/support/scripted-provider.ts';
import type { Failure, FailureKind } from '../../core/failure.ts';
import { failureTable } from '../../core/failure.ts';
import type { Fallbacks } from '../routing/served.ts';
import { noFallbacks } from '../routing/served.ts';

// Pauses and queues are the only things that take time here.
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const kinds = Object.keys(failureTable) as FailureKind[];
const nextAre = (...nexts: string[]): FailureKind[] => kinds.filter((kind) => nexts.includes(failureTable[kind].next));

const turningTo = (lists: Partial<Fallbacks>) => ({ policy: { fallbacks: { ...noFallbacks, ...lists } } });

describe('a model that cannot be had', () => {
  const others = { second: answers, third: answers };

  test.each(nextAre('instance', 'again'))('by %s gives way to the first of its list', async (kind) => {
    const { run, call, observed } = scene([failsWith(kind), failsWith(kind), failsWith(kind)], {
      ...turningTo({ any: ['second', 'third'] }),
      others,
    });
    const { error, head } = await run();
    expect(error).toBe(null);
    expect(head).toMatchObject({ model: 'second', instance: 'second', attempts: 4 });
    expect(call.sink.heads).toMatchObject([{ model: 'second', attempts: 4 }]);
    expect(observed.at(-1)).toStrictEqual(['second', 'ok']);
  });

  test('without any instance gives way at once', async () => {
    const { run } = scene([], { ...turningTo({ any: ['second'] }), others });
    expect((await run()).head).toMatchObject({ model: 'second', attempts: 1 });
  });

  test('gives way before any of its instances is asked again', async () => {
    const { run, observed } = scene([failsWith('network')], { ...turningTo({ any: ['second'] }), others });
    await run();
    expect(observed).toStrictEqual([
      ['p0', 'network'],
      ['second', 'ok'],
    ]);
  });

  test('gives way to one after the other, each once, and ends with the last one’s failure', async () => {
    const failing = { second: failsWith('unauthorized'), third: failsWith('rate_limited') };
    const any = ['second', 'nobody', 'second', 'third'];
    const { run, observed } = scene([failsWith('timeout_first_byte')], { ...turningTo({ any }), others: failing });
    expect((await run()).error).toMatchObject({ code: 'upstream_rate_limited' });
    expect(observed).toStrictEqual([
      ['p0', 'timeout_first_byte'],
      ['second', 'unauthorized'],
      ['third', 'rate_limited'],
    ]);
  });

  test.each(nextAre('end', 'longer', 'lenient'))('is not what %s says', async (kind) => {
    const { run, attempts } = scene([failsWith(kind)], { ...turningTo({ any: ['second'] }), others });
    expect((await run()).error).toMatchObject({ code: failureTable[kind].code });
    expect(attempts()).toHaveLength(1);
  });

  test('keeps a caller who has seen a part of its answer', async () => {
    const broken: Play = (attempt) => attempt.head().events(says('A')).fail({ kind: 'network' });
    const { run, attempts } = scene([broken], { ...turningTo({ any: ['second'] }), others });
    expect((await run()).error).toMatchObject({ code: 'upstream_error' });
    expect(attempts()).toHaveLength(1);
  });
});

describe('a prompt that is too long', () => {
  const settings = { ...turningTo({ contextLength: ['long'] }), others: { long: answers } };

  test('by the upstream’s word goes to a longer model, and to no other instance', async () => {
    const { run, observed } = scene([failsWith('context_length'), answers], settings);
    expect((await run()).head).toMatchObject({ model: 'long', attempts: 2 });
    expect(observed).toStrictEqual([
      ['p0', 'context_length'],
      ['long', 'ok'],
    ]);
  });

  test('by our own estimate goes there without being sent', async () => {
    const { run } = scene([answers], { ...settings, instance: { contextLength: 5 }, needs: { inputTokens: 10 } });
    expect((await run()).head).toMatchObject({ model: 'long', attempts: 1 });
  });

  test('is refused where there is no longer model', async () => {
    const refused = scene([answers], { instance: { contextLength: 5 }, needs: { inputTokens: 10 } });
    await expect(refused.run()).rejects.toMatchObject({ code: 'context_length_exceeded', status: 400 });
    expect(refused.attempts()).toHaveLength(0);
  });
});

test('a prompt whose content is refused goes to a model that is more lenient', async () => {
  const { run, observed } = scene([failsWith('content_policy'), answers], {
    ...turningTo({ contentPolicy: ['lenient'], any: ['other'], contextLength: ['other'] }),
    others: { lenient: answers, other: answers },
  });
  expect((await run()).head).toMatchObject({ model: 'lenient' });
  expect(observed.map(([instance]) => instance)).toStrictEqual(['p0', 'lenient']);
});

describe('retries', () => {
  test.each(nextAre('instance', 'again'))('are not paid for where %s leads to a fallback at once', async (kind) => {
    const { run, served } = scene([failsWith(kind)], {
      policy: { retryRatio: 0, fallbacks: { ...noFallbacks, any: ['second'] } },
      health: patientHealth,
      others: { second: answers },
    });
    expect((await run()).head).toMatchObject({ model: 'second' });
    expect(served.retries.has(20)).toBe(true);
  });

  test('are paid for where one is made', async () => {
    const { run, served } = scene([failsWith('network'), answers], { policy: { retryRatio: 0 } });
    expect((await run()).head).toMatchObject({ instance: 'p1' });
    expect([served.retries.has(19), served.retries.has(20)]).toStrictEqual([true, false]);
  });

  const failing = [failsWith('network'), failsWith('network'), failsWith('network')];

  test('are a share of the requests, so that an outage is not multiplied', async () => {
    const { run, attempts } = scene(failing, { health: patientHealth, policy: { retryRatio: 0.2 } });
    for (let i = 0; i < 100; i++) await run(testCall());
    // 20 are free, and every request brings a fifth of one.
    expect(attempts().length).toBeGreaterThan(130);
    expect(attempts().length).toBeLessThanOrEqual(100 + 20 + 20);
  });

  test('that may not be made are made elsewhere: the fallbacks are there for that', async () => {
    const settings = { ...turningTo({ any: ['second'] }), others: { second: answers }, health: patientHealth };
    const { run, served, observed } = scene(failing, settings);
    while (served.retries.spend());
    expect((await run()).head).toMatchObject({ model: 'second' });
    expect(observed).toHaveLength(2);
  });
});

describe('the usage of several attempts', () => {
  test('is added up, with what each of them cost', async () => {
    const { run } = scene([
      (attempt) => attempt.head().events(role).hidden(uses(1_000_000, 0)).fail({ kind: 'truncated' }),
      (attempt) => attempt.head().events(says('A')).events(finishes('stop')).hidden(uses(1_000_000, 500_000)).end(),
    ]);
    const { usage, last } = await run();
    expect(usage).toMatchObject({ inputTokens: 2_000_000, outputTokens: 500_000, costUsd: 3, source: 'upstream' });
    expect(last.usage).toMatchObject({ inputTokens: 1_000_000, costUsd: 2 });
  });
});

test('the trail has every attempt, with what it was for, when and what came of it', async () => {
  const stage = scene([
    (attempt) => {
      stage.clock.advance(30);
      attempt.fail({ kind: 'overloaded' });
    },
    (attempt) => {
      stage.clock.advance(12);
      answers(attempt);
    },
  ]);
  stage.clock.advance(2);
  const { trail } = await stage.run();
  expect(trail).toStrictEqual([
    {
      model: 'fast',
      instance: 'p0',
      provider: 'p0',
      outcome: 'overloaded',
      detail: 'It failed: overloaded.',
      purpose: 'first',
      startedMs: 2,
      durationMs: 30,
    },
    {
      model: 'fast',
      instance: 'p1',
      provider: 'p1',
      outcome: 'ok',
      detail: null,
      purpose: 'retry',
      startedMs: 32,
      durationMs: 12,
    },
  ]);
});

describe('a caller in the queue', () => {
  const settings = { instance: { maxInFlight: 1 }, queue: { max: 1, waitMs: 5000 } };

  test('is answered when a place becomes free', async () => {
    const { run, attempts } = scene([inTurn(() => {}, answers)], settings);
    const first = run();
    const second = run(testCall());
    await vi.advanceTimersByTimeAsync(0);
    expect(attempts()).toHaveLength(1);
    answers(attempts()[0]!);
    expect((await first).error).toBe(null);
    expect((await second).error).toBe(null);
  });

  test('who leaves costs no attempt', async () => {
    const { run, attempts, served } = scene([() => {}], settings);
    void run();
    const leaving = testCall();
    const result = run(leaving);
    await vi.advanceTimersByTimeAsync(0);
    expect(served.pool.waiting).toBe(1);
    leaving.leave();
    await expect(result).rejects.toMatchObject({ code: 'client_closed' });
    expect(served.pool.waiting).toBe(0);
    answers(attempts()[0]!);
    await vi.advanceTimersByTimeAsync(0);
    expect(attempts()).toHaveLength(1);
  });

  test('goes to another model where the queue is full', async () => {
    const { run } = scene([() => {}], {
      ...settings,
      ...turningTo({ any: ['second'] }),
      queue: { max: 0, waitMs: 5000 },
      others: { second: answers },
    });
    void run();
    expect((await run(testCall())).head).toMatchObject({ model: 'second' });
  });

  test('for whom it takes too long is told to come again', async () => {
    const { run } = scene([() => {}], settings);
    void run();
    const error = run(testCall()).catch((reason: unknown) => reason);
    await vi.advanceTimersByTimeAsync(5000);
    expect(await error).toMatchObject({ code: 'overloaded', status: 503, retryAfterMs: 1000 });
  });

  test('who leaves before a second attempt has paid for the first', async () => {
    const fail: Partial<Failure> & Pick<Failure, 'kind'> = { kind: 'truncated' };
    const { run, attempts } = scene(
      [(attempt) => attempt.head().events(role).hidden(uses(1_000_000, 0)).fail(fail), () => {}],
      settings,
    );
    void run();
    await vi.advanceTimersByTimeAsync(0);
    expect(attempts()).toHaveLength(2);
    const leaving = testCall();
    const result = run(leaving);
    await vi.advanceTimersByTimeAsync(0);
    expect(attempts()).toHaveLength(3);
    leaving.leave();
    const { error, usage, trail } = await result;
    expect(error).toMatchObject({ code: 'client_closed', status: 499 });
    expect(usage).toMatchObject({ inputTokens: 1_000_000 });
    expect(trail).toHaveLength(1);
  });

  test('who leaves during a pause left: that is not the upstream’s failure', async () => {
    const { run, call, attempts } = scene([failsWith('network')]);
    const result = run();
    await vi.advanceTimersByTimeAsync(10);
    call.leave();
    const { error, trail } = await result;
    expect(error).toMatchObject({ code: 'client_closed', status: 499 });
    expect(trail).toMatchObject([{ outcome: 'network' }]);
    expect(attempts()).toHaveLength(1);
  });
});
