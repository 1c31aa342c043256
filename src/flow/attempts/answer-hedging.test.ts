import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { testCall } from '../../../test/support/calls.ts';
import type { Play, SceneSettings } from '../../../test/support/scene.ts';
import { answers, failsWith, patientHealth, scene } from '../../../test/support/scene.ts';
import { says, uses } from '../../../test/support/scripted-provider.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const silent: Play = () => {};

const hedging = (maxShare = 1, afterMs = 100): SceneSettings => ({
  policy: { hedge: { afterMs, maxShare } },
  health: patientHealth,
});

test('a second instance is asked when the first is slow, and not before', async () => {
  const { run, attempts } = scene([silent, silent], hedging());
  void run();
  await vi.advanceTimersByTimeAsync(99);
  expect(attempts()).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(attempts().map(({ asked }) => asked.model)).toStrictEqual(['p0-model', 'p1-model']);
});

test('no second instance is asked where the first has answered', async () => {
  const { run, attempts, observed } = scene([answers, answers], hedging());
  await run();
  await vi.advanceTimersByTimeAsync(1000);
  expect(attempts()).toHaveLength(1);
  expect(observed).toStrictEqual([['p0', 'ok']]);
});

test('the second is passed on where it speaks first, and the first is cancelled', async () => {
  const { run, call, attempts } = scene([silent, answers], hedging());
  const result = run();
  await vi.advanceTimersByTimeAsync(100);
  const { error, head, trail } = await result;
  expect(error).toBe(null);
  expect(head).toMatchObject({ instance: 'p1', attempts: 2 });
  // A stream's head counts what had ended before its first token, and itself; the loser ends after it.
  expect(call.sink.heads).toMatchObject([{ instance: 'p1', attempts: 1 }]);
  expect(attempts()[0]?.done).toStrictEqual(['cancel']);
  expect(trail.map(({ instance, purpose, outcome }) => [instance, purpose, outcome])).toStrictEqual([
    ['p0', 'first', 'cancelled'],
    ['p1', 'hedge', 'ok'],
  ]);
});

test('the first is passed on where it speaks after all, and the second is cancelled', async () => {
  const { run, attempts, call } = scene([silent, silent], hedging());
  const result = run();
  await vi.advanceTimersByTimeAsync(100);
  answers(attempts()[0]!);
  attempts()[1]?.head().events(says('too late'));
  const { error, head } = await result;
  expect(error).toBe(null);
  expect(head).toMatchObject({ instance: 'p0', attempts: 2 });
  expect(attempts()[1]?.done).toStrictEqual(['cancel']);
  expect(call.sink.text()).not.toContain('too late');
});

test('the loser counts for nothing but what it used', async () => {
  const { run, attempts, served } = scene([silent, answers], hedging());
  const result = run();
  await vi.advanceTimersByTimeAsync(99);
  attempts()[0]?.head().hidden(uses(1_000_000, 0));
  await vi.advanceTimersByTimeAsync(1);
  expect((await result).usage).toMatchObject({ inputTokens: 1_000_000 });
  expect(served.pool.views().map(({ health }) => health.state)).toStrictEqual(['healthy', 'healthy']);
  expect(served.pool.model.instances.map(({ figures }) => figures.inFlight)).toStrictEqual([0, 0]);
});

test('a caller who leaves has both cancelled', async () => {
  const { run, call, attempts } = scene([silent, silent], hedging());
  const result = run();
  await vi.advanceTimersByTimeAsync(100);
  call.leave();
  expect((await result).error).toMatchObject({ code: 'client_closed' });
  expect(attempts().map(({ done }) => done)).toStrictEqual([['cancel'], ['cancel']]);
});

test('a failure of one waits for the other', async () => {
  const { run, attempts } = scene([silent, silent], hedging());
  const result = run();
  await vi.advanceTimersByTimeAsync(100);
  attempts()[0]?.fail({ kind: 'network' });
  await vi.advanceTimersByTimeAsync(0);
  answers(attempts()[1]!);
  expect((await result).head).toMatchObject({ instance: 'p1' });
});

test('where both fail, neither is asked again before the others', async () => {
  const { run, attempts, observed } = scene([silent, failsWith('network'), answers], hedging());
  const result = run();
  await vi.advanceTimersByTimeAsync(100);
  attempts()[0]?.fail({ kind: 'network' });
  expect((await result).error).toBe(null);
  expect(observed).toStrictEqual([
    ['p1', 'network'],
    ['p0', 'network'],
    ['p2', 'ok'],
  ]);
});

test('a retry is not hedged', async () => {
  const { run, attempts } = scene([failsWith('network'), silent, silent], hedging());
  void run();
  await vi.advanceTimersByTimeAsync(1000);
  expect(attempts()).toHaveLength(2);
});

test('the time that the first had alone is the upstream’s, not Mizan’s', async () => {
  const slowly: Play = (attempt) => {
    stage.clock.advance(20);
    answers(attempt);
  };
  const stage = scene([silent, slowly], hedging());
  const result = stage.run();
  await vi.advanceTimersByTimeAsync(0);
  await vi.advanceTimersByTimeAsync(100);
  expect((await result).head).toMatchObject({ upstreamMs: 120, gatewayMs: 0 });
  expect(stage.call.sink.heads).toMatchObject([{ upstreamMs: 120, gatewayMs: 0 }]);
});

test('no more than the share of requests is asked twice', async () => {
  const { run, attempts } = scene([silent, answers], { ...hedging(0.1), instance: { price: null } });
  for (let i = 0; i < 50; i++) {
    const result = run(testCall());
    await vi.advanceTimersByTimeAsync(100);
    const asked = attempts().find(({ done, asked: { model } }) => model === 'p0-model' && done.length === 0);
    // Where nobody else was asked, the first answers in the end.
    if (asked !== undefined) answers(asked);
    await result;
    asked?.done.push('over');
  }
  // Two are free, and every request brings a tenth of one.
  expect(attempts().length).toBeGreaterThan(50 + 2);
  expect(attempts().length).toBeLessThanOrEqual(50 + 2 + 5);
});

test('a second request that would cost too much is not sent', async () => {
  const dear = { price: { input: 1000, output: 1000 } };
  const { run, attempts, served } = scene([silent, answers], { ...hedging(0.01), instance: dear });
  void run();
  await vi.advanceTimersByTimeAsync(100);
  expect(attempts()).toHaveLength(1);
  expect(served.pool.model.instances.map(({ figures }) => figures.inFlight)).toStrictEqual([1, 0]);
});
