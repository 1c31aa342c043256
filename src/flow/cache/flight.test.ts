import fc from 'fast-check';
import { expect, onTestFinished, test, vi } from 'vitest';
import { preparedChat } from '../../../test/support/attempts.ts';
import type { TestCall } from '../../../test/support/calls.ts';
import { servedOf, testCall } from '../../../test/support/calls.ts';
import { ManualClock } from '../../../test/support/clock.ts';
import { finishes, role, says, ScriptedProvider } from '../../../test/support/scripted-provider.ts';
import { unknownUsage } from '../../core/usage.ts';
import { RequestNeeds } from '../routing/needs.ts';
import { Models } from '../routing/models.ts';
import type { Source } from './flight.ts';
import { Flight } from './flight.ts';
import { ride } from './ride.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const limit = 1000;

/** A flight and those who ride on it; what it says that it keeps is added up. */
function stage(source: Source | null = null) {
  const clock = new ManualClock();
  const world = { clock, random: () => 0 };
  const provider = new ScriptedProvider('p', (attempt) => void attempt.head().events(role).events(says('x')));
  const served = servedOf([provider.instance()], { world, policy: { maxAttempts: 1 } });
  const chat = preparedChat({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], stream: true });
  const request = { target: { agent: null }, body: chat.body, stream: true, wantsUsage: false, session: null };
  const orderOf = (call: TestCall, stream = true) => ({
    call,
    agent: null,
    served,
    models: new Models(new Map([['fast', served]]), new Map(), world),
    needs: new RequestNeeds(request, null),
    chat: { ...chat, stream },
    spending: null,
    clock,
    random: () => 0,
    observe: () => {},
  });
  const kept: number[] = [0];
  const first = testCall();
  const flight = new Flight(
    orderOf(first),
    limit,
    {
      landed: () => {},
      deserted: () => null,
      closed: () => {},
      collected: (bytes) => void kept.push((kept.at(-1) ?? 0) + bytes),
    },
    source,
  );
  const calls = [first];
  const riding = [ride(flight, orderOf(first), 'miss')];
  const join = (stream = true): void => {
    if (!flight.isOpen) return;
    const call = testCall();
    calls.push(call);
    riding.push(ride(flight, orderOf(call, stream), 'coalesced'));
  };
  return { flight, calls, riding, join, kept, upstream: () => provider.attempts[0]! };
}

/** Another process' answer, of so many pieces of 100 bytes, each as soon as there is room for it. */
const told =
  (pieces: number): Source =>
  async ({ sink }) => {
    const facts = { kind: 'stream', usage: unknownUsage, finishReason: 'stop', storedAt: 0, freshUntil: 1 } as const;
    const who = { model: 'fast', instance: 'a', provider: 'p' };
    sink.begin({ agent: null, ...who, cache: 'coalesced', attempts: 0, gatewayMs: 0, upstreamMs: 0 });
    for (let i = 0; i < pieces; i++) {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (!sink.write({ bytes: Buffer.alloc(100, 'x'), chunks: [says('x')] }, resolve)) await promise;
      await nextTurn();
    }
    return { facts: { ...facts, ...who, refreshUntil: 1, rescueUntil: 1 }, isKept: false, resumed: 0 };
  };

test('who does not read another process’ answer is left behind at once, since that goes on in any case', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const { calls, riding, join, kept } = stage(told(100));
  join();
  await nextTurn();
  calls[0]!.sink.isFull = true;
  const riders = Promise.all(riding);
  // Far less than others of this process would wait for it.
  for (let ms = 0; ms < 500; ms++) {
    await nextTurn();
    vi.advanceTimersByTime(1);
  }
  const [stalled, reading] = (await Promise.race([riders, nextTurn()])) ?? [];
  expect([stalled?.left?.code, reading?.left]).toEqual(['client_too_slow', null]);
  expect(calls[1]!.sink.text()).toHaveLength(100 * 100);
  expect(calls[0]!.sink.text().length).toBeLessThan(1000);
  expect([Math.max(...kept) <= limit + 100, kept.at(-1)]).toEqual([true, 0]);
});

const steps = fc.oneof(
  fc.record({ kind: fc.constant('say' as const), length: fc.integer({ min: 1, max: 400 }) }),
  fc.record({ kind: fc.constantFrom('join', 'leave', 'fill', 'drain', 'wait'), who: fc.nat(5) }),
);

test('what a flight keeps is given back once, whoever comes, leaves, does not read, and however it ends', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { maxLength: 40 }), fc.boolean(), async (all, endsWell) => {
      const { calls, riding, join, kept, upstream } = stage();
      await nextTurn();
      for (const step of all) {
        // An upstream that is held back says nothing.
        const isHeld = upstream().done.findLast((done) => done !== 'cancel') === 'pause';
        if (step.kind === 'say') {
          if (!isHeld && !upstream().isCancelled) upstream().events(says('y'.repeat(step.length)));
          continue;
        }
        const who = calls[step.who % calls.length]!;
        if (step.kind === 'join') join(step.who % 3 > 0);
        else if (step.kind === 'leave') who.leave();
        else if (step.kind === 'fill') who.sink.isFull = true;
        else if (step.kind === 'drain') who.sink.drain();
        else await nextTurn();
      }
      if (!endsWell) upstream().fail({ kind: 'network' });
      else upstream().events(finishes('stop')).end();
      await nextTurn();
      for (const { sink } of calls) sink.drain();
      await Promise.all(riding);
      expect(kept.at(-1)).toBe(0);
      expect(Math.min(...kept)).toBe(0);
      // One piece more than the limit, the first of all and the last.
      expect(Math.max(...kept)).toBeLessThan(limit + 1000);
    }),
    { numRuns: 300 },
  );
});
