import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { preparedChat } from '../../../test/support/attempts.ts';
import { finishes, role, says, uses } from '../../../test/support/scripted-provider.ts';
import { answers, chat, failsWith, inTurn, patientHealth, scene } from '../../../test/support/scene.ts';

import type { FailureKind } from '../../core/failure.ts';
import { failureTable } from '../../core/failure.ts';
import { unknownUsage } from '../../core/usage.ts';

// Pauses are the only thing that takes time here.
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Waits for what takes pauses: three of them are shorter than this. */
async function afterPauses<T>(result: Promise<T>): Promise<T> {
  await vi.advanceTimersByTimeAsync(1000);
  return result;
}

const kinds = Object.keys(failureTable) as FailureKind[];
const nextAre = (...nexts: string[]): FailureKind[] => kinds.filter((kind) => nexts.includes(failureTable[kind].next));

describe('a call', () => {
  test('that the first instance answers needs no other', async () => {
    const { run, call, observed, attempts } = scene([answers, answers]);
    const { head, last, error } = await run();
    expect(error).toBe(null);
    expect(head).toMatchObject({ agent: 'assistant', model: 'fast', instance: 'p0', provider: 'p0', attempts: 1 });
    expect(last).toMatchObject({ failure: null, finishReason: 'stop', hasDelivered: true });
    expect(observed).toStrictEqual([['p0', 'ok']]);
    expect(attempts()).toHaveLength(1);
    expect(call.sink.heads).toHaveLength(1);
  });

  test('asks for the instance’s own model, with the deadline for its connection', async () => {
    const { run, attempts } = scene([answers], { timeouts: { connectMs: 1234 } });
    await run();
    expect(attempts()[0]?.asked).toStrictEqual({ chat, model: 'p0-model', connectTimeoutMs: 1234 });
  });

  test.each(nextAre('instance', 'again'))(
    'whose first instance fails with %s is answered by the next',
    async (kind) => {
      const { run, observed, call } = scene([failsWith(kind), answers]);
      const { head, error, last } = await run();
      expect(error).toBe(null);
      expect(head).toMatchObject({ instance: 'p1', attempts: 2 });
      expect(last.failure).toBe(null);
      expect(observed).toStrictEqual([
        ['p0', kind],
        ['p1', 'ok'],
      ]);
      expect(call.sink.heads).toMatchObject([{ instance: 'p1', attempts: 2 }]);
    },
  );

  test.each(nextAre('end', 'longer', 'lenient'))('whose first instance fails with %s is over', async (kind) => {
    const { run, attempts } = scene([failsWith(kind), answers]);
    const { error } = await run();
    expect(error).toMatchObject({ code: failureTable[kind].code, message: `It failed: ${kind}.` });
    expect(attempts()).toHaveLength(1);
  });

  test('takes three attempts and no more', async () => {
    const { run, attempts } = scene([failsWith('network'), failsWith('protocol'), failsWith('overloaded'), answers]);
    const { error, head } = await run();
    expect(error).toMatchObject({ code: 'upstream_error', message: 'It failed: overloaded.' });
    expect(head).toMatchObject({ instance: 'p2', attempts: 3 });
    expect(attempts()).toHaveLength(3);
  });

  test('takes as many attempts as its model allows', async () => {
    const { run, attempts } = scene([failsWith('network'), answers], { policy: { maxAttempts: 1 } });
    expect((await run()).error).toMatchObject({ code: 'upstream_error' });
    expect(attempts()).toHaveLength(1);
  });

  test('goes to every instance before any is asked again', async () => {
    const { run, observed } = scene([inTurn(failsWith('network'), answers), failsWith('network')]);
    expect((await afterPauses(run())).error).toBe(null);
    expect(observed).toStrictEqual([
      ['p0', 'network'],
      ['p1', 'network'],
      ['p0', 'ok'],
    ]);
  });

  test('is refused with a time to come again where the model has no instance', async () => {
    await expect(scene([]).run()).rejects.toMatchObject({
      code: 'no_healthy_instance',
      status: 503,
      retryAfterMs: 1000,
    });
  });

  test('is refused with the time of the next try where every instance is out', async () => {
    const { run, clock } = scene([(attempt) => attempt.fail({ kind: 'rate_limited', retryAfterMs: 7000 })]);
    await run();
    clock.advance(2000);
    await expect(run()).rejects.toMatchObject({ code: 'no_healthy_instance', status: 503, retryAfterMs: 5000 });
  });
});

describe('the only instance', () => {
  test.each(nextAre('again'))('is asked again after a pause where it fails with %s', async (kind) => {
    const { run, attempts } = scene([inTurn(failsWith(kind), answers)]);
    const result = run();
    await vi.advanceTimersByTimeAsync(49);
    expect(attempts()).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    const { error, head } = await result;
    expect(error).toBe(null);
    expect(head).toMatchObject({ instance: 'p0', attempts: 2 });
  });

  test.each(nextAre('instance'))('is not asked again where it fails with %s', async (kind) => {
    const { run, attempts } = scene([failsWith(kind)], { health: patientHealth });
    expect((await run()).error).toMatchObject({ code: failureTable[kind].code });
    expect(attempts()).toHaveLength(1);
  });

  test('has pauses that grow from the one before, by chance', async () => {
    const { run, attempts } = scene([failsWith('network')], { random: () => 0.5 });
    const result = run();
    // Half-way from 50 to 3 × 50, then half-way from 50 to 3 × 100.
    for (const [ms, asked] of [
      [99, 1],
      [1, 2],
      [174, 2],
      [1, 3],
    ] as const) {
      await vi.advanceTimersByTimeAsync(ms);
      expect(attempts()).toHaveLength(asked);
    }
    expect((await result).error).toMatchObject({ code: 'upstream_error' });
  });

  test('is not asked again where the pause would outlast the call', async () => {
    const { run, clock, attempts } = scene(
      [
        (attempt) => {
          clock.advance(960);
          attempt.fail({ kind: 'network' });
        },
      ],
      { timeouts: { totalMs: 1000 } },
    );
    expect((await run()).error).toMatchObject({ code: 'upstream_error' });
    expect(attempts()).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('an error', () => {
  test('carries what the upstream said of it', async () => {
    const { run } = scene([(attempt) => attempt.fail({ kind: 'rejected', status: 422, param: 'n', cause: 'why' })]);
    expect((await run()).error).toMatchObject({ code: 'upstream_rejected', status: 422, param: 'n', cause: 'why' });
  });

  test('says when to come again', async () => {
    const { run } = scene([(attempt) => attempt.fail({ kind: 'rate_limited', status: 429, retryAfterMs: 1500 })]);
    expect((await run()).error).toMatchObject({ code: 'upstream_rate_limited', status: 429, retryAfterMs: 1500 });
  });

  test('has its own status, not the upstream’s, where it is not the caller’s', async () => {
    const { run } = scene([(attempt) => attempt.fail({ kind: 'unauthorized', status: 401 })]);
    expect((await run()).error).toMatchObject({ code: 'upstream_unauthorized', status: 502 });
  });

  test('about the model names it as the caller does', async () => {
    const { run } = scene([(attempt) => attempt.fail({ kind: 'unknown_model', message: 'No such model.' })]);
    expect((await run()).error).toMatchObject({ code: 'unknown_model', message: 'fast: No such model.' });
  });
});

describe('after something was delivered', () => {
  test.each(Object.keys(failureTable) as FailureKind[])('no other instance is asked: %s', async (kind) => {
    const { run, attempts, call } = scene([(attempt) => attempt.head().events(says('Hel')).fail({ kind }), answers]);
    const { error, last } = await run();
    expect(error).toMatchObject({ code: failureTable[kind].code });
    expect(last).toMatchObject({ hasDelivered: true, finishReason: null });
    expect(attempts()).toHaveLength(1);
    expect(call.sink.text()).toContain('Hel');
  });

  test('what comes from the finish reason on waits for the terminator', async () => {
    const { run, call } = scene([
      (attempt) => {
        attempt.head().events(says('A')).events(finishes('stop')).events(uses(7, 3));
        expect(call.sink.text()).not.toContain('stop');
        attempt.end();
      },
    ]);
    expect((await run()).error).toBe(null);
    expect(call.sink.text()).toMatch(/"A".*"stop".*prompt_tokens/s);
  });

  test('a stream that breaks between its finish reason and its terminator is cut, and keeps its ending to itself', async () => {
    const { run, attempts, call } = scene([
      (attempt) => attempt.head().events(says('A')).events(finishes('stop')).fail({ kind: 'truncated' }),
      answers,
    ]);
    const { error, last } = await run();
    expect(error).toMatchObject({ code: 'upstream_truncated' });
    expect(last.ending.flatMap(({ chunks }) => chunks)).toStrictEqual([finishes('stop')]);
    expect(call.sink.text()).not.toContain('stop');
    expect(attempts()).toHaveLength(1);
  });

  test('of several choices, the end of one holds nothing of the others back', async () => {
    const several = preparedChat({ model: 'm', messages: [{ role: 'user' }], stream: true, n: 2 });
    const { run, call } = scene(
      [
        (attempt) => {
          attempt.head().events(says('A')).events(finishes('stop'));
          expect(call.sink.text()).toContain('stop');
          attempt.end();
        },
      ],
      { chat: several },
    );
    expect((await run()).error).toBe(null);
  });
});

describe('before anything is said', () => {
  test('events are held back, so that another instance may take over', async () => {
    const { run, call } = scene([(attempt) => attempt.head().events(role).fail({ kind: 'truncated' }), answers]);
    const { error, head } = await run();
    expect(error).toBe(null);
    expect(head).toMatchObject({ instance: 'p1', attempts: 2 });
    expect(call.sink.text().match(/assistant/g)).toHaveLength(1);
  });

  test('a finish reason alone is nothing yet: another instance may take over', async () => {
    const { run, call } = scene([
      (attempt) => attempt.head().events(finishes('length')).fail({ kind: 'truncated' }),
      answers,
    ]);
    const { error, head } = await run();
    expect(error).toBe(null);
    expect(head).toMatchObject({ instance: 'p1', attempts: 2 });
    expect(call.sink.text()).not.toContain('length');
  });

  test('comments are not kept, however many come', async () => {
    const { run, call } = scene([
      (attempt) => attempt.head().comment().events(says('A')).comment().events(finishes('stop')).end(),
    ]);
    await run();
    expect(call.sink.text().match(/: alive/g)).toHaveLength(1);
  });

  test('they are delivered with the first that says something, in their order', async () => {
    const { run, call } = scene([
      (attempt) => {
        attempt.head().events(role).events({ choices: [] });
        expect(call.sink.heads).toHaveLength(0);
        attempt.events(says('A')).events(says('B'), finishes('stop')).end();
      },
    ]);
    await run();
    const order = [...call.sink.text().matchAll(/assistant|"choices":\[\]|"A"|"B"|"stop"/g)].map(([word]) => word);
    expect(order).toStrictEqual(['assistant', '"choices":[]', '"A"', '"B"', '"stop"']);
  });

  test('what has no bytes of the caller’s is not written', async () => {
    const { run, call } = scene([
      (attempt) => attempt.head().hidden(role).events(says('A')).events(finishes('stop')).hidden(uses(7, 3)).end(),
    ]);
    const { last } = await run();
    expect(last.usage).toMatchObject({ inputTokens: 7, outputTokens: 3, source: 'upstream' });
    expect(call.sink.events.every(({ bytes }) => bytes.length > 0)).toBe(true);
  });
});

describe('a caller who goes away', () => {
  const gone = { code: 'client_closed', status: 499 };

  test('before the first attempt costs none', async () => {
    const { run, call, attempts } = scene([answers, answers]);
    call.leave();
    expect((await run()).error).toMatchObject(gone);
    expect(attempts()).toHaveLength(0);
  });

  test('while an instance is asked has it cancelled, and no other asked', async () => {
    const { run, call, attempts, observed } = scene([() => call.leave(), answers]);
    expect((await run()).error).toMatchObject(gone);
    expect(attempts()).toHaveLength(1);
    expect(attempts()[0]?.done).toStrictEqual(['cancel']);
    expect(observed).toStrictEqual([['p0', 'cancelled']]);
  });

  test('just as an instance fails has no other asked', async () => {
    const leaving = scene([
      (attempt) => {
        attempt.fail({ kind: 'network' });
        leaving.call.leave();
      },
      answers,
    ]);
    await leaving.run();
    expect(leaving.observed).toStrictEqual([['p0', 'network']]);
    expect(leaving.attempts()).toHaveLength(1);
  });

  test('in the middle of an answer pays for what was received', async () => {
    const { run, call, attempts } = scene([
      (attempt) => {
        attempt.head().events(role).events(says('one')).events(says('two'), says('three'));
        call.leave();
      },
    ]);
    const { error, last } = await run();
    expect(error).toMatchObject(gone);
    expect(last.usage).toMatchObject({ inputTokens: null, outputTokens: 3, costUsd: null, source: 'received' });
    expect(last).toMatchObject({ finishReason: null, hasDelivered: true });
    expect(attempts()[0]?.isCancelled).toBe(true);
  });

  test('before anything was said pays for nothing that is known', async () => {
    const { run, call } = scene([
      (attempt) => {
        attempt.head().events(role);
        call.leave();
      },
    ]);
    expect((await run()).last.usage).toStrictEqual(unknownUsage);
  });

  test('after the upstream counted pays by its count', async () => {
    const { run, call } = scene([
      (attempt) => {
        attempt.head().events(says('one')).hidden(uses(1_000_000, 1_000_000));
        call.leave();
      },
    ]);
    expect((await run()).last.usage).toMatchObject({ outputTokens: 1_000_000, costUsd: 3, source: 'upstream' });
  });

  test('after the end changes nothing', async () => {
    const { run, call, attempts } = scene([answers]);
    const { error } = await run();
    call.leave();
    expect(error).toBe(null);
    expect(attempts()[0]?.done).toStrictEqual([]);
  });
});
