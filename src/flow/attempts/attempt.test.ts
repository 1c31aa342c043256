import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Play, Scene } from '../../../test/support/scene.ts';
import { answers, chat, scene } from '../../../test/support/scene.ts';
import { finishes, role, says } from '../../../test/support/scripted-provider.ts';
import type { FailureKind } from '../../core/failure.ts';
import { unknownUsage } from '../../core/usage.ts';
import type { AttemptResult } from './attempt.ts';
import type { Timeouts } from '../routing/model.ts';

const whole = { ...chat, stream: false };

// Nothing here does I/O: providers and callers are played by the test.
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the end of a stream', () => {
  test.each(['stop', 'length', 'tool_calls', 'content_filter', 'something_new'])(
    'has the upstream’s own finish reason: %s',
    async (reason) => {
      const { run } = scene([(attempt) => attempt.head().events(says('A'), finishes(reason)).end()]);
      expect((await run()).last).toMatchObject({ finishReason: reason, failure: null });
    },
  );

  test('without a finish reason is an answer that was cut, and none is invented', async () => {
    const { run } = scene([(attempt) => attempt.head().events(says('A')).end()]);
    const { error, last } = await run();
    expect(error).toMatchObject({ code: 'upstream_truncated' });
    expect(last.finishReason).toBe(null);
  });

  test('before anything was said is left to the next instance', async () => {
    const { run } = scene([(attempt) => attempt.head().events(role).end(), answers]);
    expect((await run()).head).toMatchObject({ instance: 'p1', attempts: 2 });
  });
});

describe('an answer that is not streamed', () => {
  const completion = {
    choices: [{ message: { content: 'Hi' }, finish_reason: 'length' }],
    usage: { prompt_tokens: 2, completion_tokens: 1 },
  };

  test('comes whole, with its usage at the instance’s price', async () => {
    const { run, call } = scene([(attempt) => attempt.answer(completion)]);
    const { last, error } = await run();
    expect(error).toBe(null);
    expect(last).toMatchObject({
      answer: { completion },
      finishReason: 'length',
      hasDelivered: false,
      firstTokenAt: null,
    });
    expect(last.usage).toMatchObject({ inputTokens: 2, outputTokens: 1, costUsd: 4e-6 });
    expect(call.sink.heads).toHaveLength(0);
  });

  test('without a finish reason has none', async () => {
    const { run } = scene([(attempt) => attempt.answer({ choices: [{ message: {} }] })]);
    expect((await run()).last).toMatchObject({ finishReason: null, usage: unknownUsage });
  });
});

describe('a deadline', () => {
  const late: [what: string, over: Partial<Timeouts>, play: Play, kind: FailureKind][] = [
    ['for the first byte', { firstByteMs: 1000 }, () => {}, 'timeout_first_byte'],
    [
      'for the first token',
      { firstTokenMs: 1000 },
      (attempt) => void attempt.head().events(role),
      'timeout_first_token',
    ],
    ['between two pieces', { idleMs: 1000 }, (attempt) => void attempt.head().events(says('A')), 'timeout_idle'],
    [
      'for the first token, and no other, after the head',
      { firstTokenMs: 1000, firstByteMs: 1, idleMs: 1 },
      (attempt) => void attempt.head(),
      'timeout_first_token',
    ],
    ['for the whole call', { totalMs: 1000 }, (attempt) => void attempt.head().events(says('A')), 'timeout_total'],
    ['for the whole call, before its head', { totalMs: 1000 }, () => {}, 'timeout_total'],
  ];

  test.each(late)('%s cancels the attempt and says what was late', async (_what, over, play, kind) => {
    const { run, attempts, observed } = scene([play], { timeouts: over });
    const result = run();
    await vi.advanceTimersByTimeAsync(999);
    expect(attempts()[0]?.done).toStrictEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    const { error, last } = await result;
    expect(error).toMatchObject({ code: 'upstream_timeout', status: 504 });
    expect(error?.message).toMatch(/^p0 (did not begin|did not say|stopped|did not finish)/);
    expect(last.failure).toMatchObject({ kind });
    expect(attempts()[0]?.done).toStrictEqual(['cancel']);
    expect(observed).toStrictEqual([['p0', kind]]);
  });

  test('for the first byte leaves the call to the next instance', async () => {
    const { run } = scene([() => {}, answers], { timeouts: { firstByteMs: 1000 } });
    const result = run();
    await vi.advanceTimersByTimeAsync(1000);
    expect((await result).head).toMatchObject({ instance: 'p1', attempts: 2 });
  });

  test('for the whole call is one for all its attempts', async () => {
    const { run, clock, attempts } = scene(
      [
        (attempt) => {
          clock.advance(59_000);
          attempt.fail({ kind: 'network' });
        },
        () => {},
      ],
      { timeouts: { totalMs: 60_000 } },
    );
    const result = run();
    await vi.advanceTimersByTimeAsync(1000);
    expect((await result).last.failure).toMatchObject({ kind: 'timeout_total' });
    expect(attempts()).toHaveLength(2);
  });

  test('for the whole call counts from its arrival, not from its first attempt', async () => {
    const { run, clock } = scene([() => {}], { timeouts: { totalMs: 60_000 } });
    clock.advance(59_000);
    const result = run();
    await vi.advanceTimersByTimeAsync(1000);
    expect((await result).last.failure).toMatchObject({ kind: 'timeout_total' });
  });

  test('between two pieces of a stream begins again with each', async () => {
    const { run, attempts } = scene([(attempt) => void attempt.head().events(says('A'))], {
      timeouts: { idleMs: 1000 },
    });
    const result = run();
    for (let i = 0; i < 10; i++) {
      await vi.advanceTimersByTimeAsync(900);
      attempts()[0]?.events(says('B'));
    }
    attempts()[0]?.events(finishes('stop')).end();
    expect((await result).error).toBe(null);
    expect(attempts()[0]?.done).toStrictEqual([]);
  });

  test('between two pieces of an answer that is not streamed begins again with each, of whatever kind', async () => {
    const { run, attempts } = scene([(attempt) => void attempt.head()], { timeouts: { idleMs: 1000 }, chat: whole });
    const result = run();
    for (let i = 0; i < 10; i++) {
      await vi.advanceTimersByTimeAsync(900);
      attempts()[0]?.bytes();
    }
    await vi.advanceTimersByTimeAsync(1000);
    expect((await result).last.failure).toMatchObject({ kind: 'timeout_idle' });
  });

  test.each([
    ['the first token', { firstTokenMs: 1000 }, role, 'timeout_first_token'],
    ['the next piece', { idleMs: 1000 }, says('A'), 'timeout_idle'],
  ])('for %s is not moved by comments', async (_what, timeouts, chunk, kind) => {
    const { run, attempts } = scene([(attempt) => void attempt.head().events(chunk)], { timeouts });
    const result = run();
    await vi.advanceTimersByTimeAsync(900);
    attempts()[0]?.comment();
    await vi.advanceTimersByTimeAsync(100);
    expect((await result).last.failure).toMatchObject({ kind });
  });

  test('for the first token counts from the start of the attempt', async () => {
    const { run, attempts } = scene([() => {}], { timeouts: { firstTokenMs: 1000 } });
    const result = run();
    await vi.advanceTimersByTimeAsync(700);
    attempts()[0]?.head();
    await vi.advanceTimersByTimeAsync(300);
    expect((await result).last.failure).toMatchObject({ kind: 'timeout_first_token' });
  });

  test('for the first token is none for an answer that is not streamed', async () => {
    const { run, attempts } = scene([(attempt) => void attempt.head()], {
      timeouts: { firstTokenMs: 1000 },
      chat: whole,
    });
    const result = run();
    await vi.advanceTimersByTimeAsync(5000);
    attempts()[0]?.answer({ choices: [{ message: { content: 'Hi' }, finish_reason: 'stop' }] });
    expect((await result).error).toBe(null);
  });

  test('that passed late says nothing more, whatever was on its way', async () => {
    const { run, attempts, call } = scene([() => {}], { timeouts: { firstByteMs: 1000 } });
    const result = run();
    await vi.advanceTimersByTimeAsync(1000);
    attempts()[0]?.events(says('late'), finishes('stop')).end();
    expect((await result).error).toMatchObject({ code: 'upstream_timeout' });
    expect(call.sink.heads).toHaveLength(0);
  });

  test('of an attempt that is over does not wake anybody', async () => {
    const { run } = scene([answers]);
    await run();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a caller who reads slowly', () => {
  /** Runs until the sink is full. */
  async function slow(over: Partial<Timeouts> = {}) {
    const stage: Scene = scene(
      [
        (attempt) => {
          attempt.head().events(says('A'));
          stage.call.sink.isFull = true;
          attempt.events(says('B'));
        },
      ],
      { timeouts: over },
    );
    const result = stage.run();
    await vi.advanceTimersByTimeAsync(0);
    return { sink: stage.call.sink, call: stage.call, attempt: stage.attempts()[0]!, result };
  }

  test('pauses the upstream, once, and resumes it when it has read', async () => {
    const { attempt, sink, result } = await slow();
    expect(attempt.done).toStrictEqual(['pause']);
    attempt.events(says('C')).events(says('D'));
    expect(attempt.done).toStrictEqual(['pause']);
    sink.drain();
    expect(attempt.done).toStrictEqual(['pause', 'resume']);
    attempt.events(finishes('stop')).end();
    expect((await result).error).toBe(null);
    expect([...sink.text().matchAll(/"([ABCD])"/g)].map(([, word]) => word).join('')).toBe('ABCD');
  });

  test('may be slow again', async () => {
    const { attempt, sink, result } = await slow();
    sink.drain();
    sink.isFull = true;
    attempt.events(says('C'));
    sink.drain();
    attempt.events(finishes('stop')).end();
    await result;
    expect(attempt.done).toStrictEqual(['pause', 'resume', 'pause', 'resume']);
  });

  test('is not the upstream’s idleness', async () => {
    const { attempt, sink, result } = await slow({ idleMs: 1000 });
    await vi.advanceTimersByTimeAsync(30_000);
    sink.drain();
    attempt.events(finishes('stop')).end();
    expect((await result).error).toBe(null);
  });

  test('gives the upstream its time again from when it has read', async () => {
    const { attempt, sink, result } = await slow({ idleMs: 1000 });
    await vi.advanceTimersByTimeAsync(5000);
    sink.drain();
    await vi.advanceTimersByTimeAsync(999);
    expect(attempt.isCancelled).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect((await result).last.failure).toMatchObject({ kind: 'timeout_idle' });
  });

  test('does not outlive the whole call', async () => {
    const { result } = await slow({ totalMs: 5000 });
    await vi.advanceTimersByTimeAsync(5000);
    expect((await result).last.failure).toMatchObject({ kind: 'timeout_total' });
  });

  test('may go away meanwhile: reading on changes nothing', async () => {
    const { attempt, sink, call, result } = await slow();
    call.leave();
    await result;
    sink.drain();
    expect(attempt.done).toStrictEqual(['pause', 'cancel']);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('times', () => {
  test('are told apart: the upstream’s over all attempts, and Mizan’s own', async () => {
    const stage: Scene = scene([
      (attempt) => {
        stage.clock.advance(100);
        attempt.fail({ kind: 'network' });
      },
      (attempt) => {
        stage.clock.advance(40);
        attempt.head().events(role);
        stage.clock.advance(10);
        attempt.events(says('A'));
        stage.clock.advance(50);
        attempt.events(finishes('stop')).end();
      },
    ]);
    stage.clock.advance(5);
    const { head, last } = await stage.run();
    expect(head).toMatchObject({ upstreamMs: 200, gatewayMs: 5 });
    expect(last).toMatchObject({ firstTokenAt: 155, durationMs: 100 } satisfies Partial<AttemptResult>);
    expect(stage.call.sink.heads).toMatchObject([{ upstreamMs: 150, gatewayMs: 5, attempts: 2 }]);
  });
});
