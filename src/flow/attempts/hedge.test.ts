import { expect, test } from 'vitest';
import type { Failure } from '../../core/failure.ts';
import { unknownUsage } from '../../core/usage.ts';
import type { AttemptResult } from './attempt.ts';
import type { Contestant } from './hedge.ts';
import { race } from './hedge.ts';

const resultOf = (failure: Failure | null, hasDelivered = false): AttemptResult => ({
  failure,
  answer: null,
  usage: unknownUsage,
  finishReason: failure === null ? 'stop' : null,
  ending: [],
  hasDelivered,
  firstTokenAt: null,
  durationMs: 1,
  latencyMs: 1,
  quota: null,
});

const cancelled: Failure = { kind: 'cancelled', message: 'cancelled' };
const network: Failure = { kind: 'network', message: 'network' };

/** A contestant that the test decides about. */
class Scripted implements Contestant {
  signal: AbortSignal | null = null;
  claim: () => boolean = () => false;
  #end: (result: AttemptResult) => void = () => {};

  run(signal: AbortSignal, claim: () => boolean): Promise<AttemptResult> {
    this.signal = signal;
    this.claim = claim;
    if (signal.aborted) return Promise.resolve(resultOf(cancelled));
    return new Promise((resolve) => {
      this.#end = resolve;
      signal.addEventListener('abort', () => resolve(resultOf(cancelled)));
    });
  }

  end(failure: Failure | null, hasDelivered = false): void {
    this.#end(resultOf(failure, hasDelivered));
  }
}

/** A race in which the second has been started. */
async function started(): Promise<{
  a: Scripted;
  b: Scripted;
  outcome: ReturnType<typeof race>;
  abort: AbortController;
}> {
  const a = new Scripted();
  const b = new Scripted();
  const abort = new AbortController();
  let second: () => void = () => {};
  const isStarted = new Promise<void>((resolve) => {
    second = resolve;
  });
  const outcome = race(a, () => (second(), b), { afterMs: 1, signal: abort.signal });
  await isStarted;
  await Promise.resolve();
  return { a, b, outcome, abort };
}

test('an answer before the time is up leaves the second unasked', async () => {
  const a = new Scripted();
  const outcome = race(a, () => expect.unreachable(), { afterMs: 60_000, signal: new AbortController().signal });
  a.end(null);
  expect((await outcome).winner).toBe(a);
});

test('the second to be asked wins if it speaks first, and the first is aborted', async () => {
  const { a, b, outcome } = await started();
  expect(b.claim()).toBe(true);
  expect(a.signal?.aborted).toBe(true);
  expect(a.claim()).toBe(false);
  b.end(null, true);
  const { winner, result } = await outcome;
  expect({ winner: winner === b, failure: result.failure }).toEqual({ winner: true, failure: null });
});

test('a failure of one leaves the other running', async () => {
  const { a, b, outcome } = await started();
  a.end(network);
  b.claim();
  b.end(null);
  expect((await outcome).winner).toBe(b);
});

test('two failures are a failure, the first one’s', async () => {
  const { a, b, outcome } = await started();
  b.end(cancelled);
  a.end(network);
  expect((await outcome).result.failure).toEqual(network);
});

test('the caller’s abort reaches both', async () => {
  const { a, b, outcome, abort } = await started();
  abort.abort();
  expect([a.signal?.aborted, b.signal?.aborted]).toEqual([true, true]);
  expect((await outcome).result.failure?.kind).toBe('cancelled');
});

test('of two answers in the same turn one counts', async () => {
  const { a, b, outcome } = await started();
  a.end(null);
  b.end(null);
  const { winner, result } = await outcome;
  expect({ winner: winner === a, failure: result.failure }).toEqual({ winner: true, failure: null });
});

test('a second that was still got ready when the caller left is aborted as it begins', async () => {
  const [a, b] = [new Scripted(), new Scripted()];
  const abort = new AbortController();
  const { promise: ready, resolve: isReady } = Promise.withResolvers<Contestant>();
  const { promise: asked, resolve: isAsked } = Promise.withResolvers<void>();
  const outcome = race(a, () => (isAsked(), ready), { afterMs: 1, signal: abort.signal });
  await asked;
  abort.abort();
  isReady(b);
  expect((await outcome).result.failure).toEqual(cancelled);
  expect(b.signal?.aborted).toBe(true);
});
