import type { MizanError } from '../../src/core/errors.ts';
import type { Answered } from '../../src/flow/attempts/order.ts';
import type { Call } from '../../src/flow/call.ts';
import { Models } from '../../src/flow/routing/models.ts';
import { RequestNeeds } from '../../src/flow/routing/needs.ts';
import { Metrics } from '../../src/telemetry/metrics.ts';
import { preparedChat } from './attempts.ts';
import type { CacheSetting } from './cache.ts';
import { cacheOf } from './cache.ts';
import type { TestCall } from './calls.ts';
import { servedOf, testCall } from './calls.ts';
import type { ManualClock } from './clock.ts';
import { TimersClock } from './clock.ts';
import type { Play } from './scene.ts';
import type { ScriptedAttempt } from './scripted-provider.ts';
import { finishes, role, says, ScriptedProvider } from './scripted-provider.ts';

/** A whole answer, streamed. */
export const saying =
  (text: string): Play =>
  (attempt) =>
    attempt.head().events(role).events(says(text), finishes('stop')).end();

interface Asking {
  readonly cacheControl?: string;
  readonly content?: string;
}

/** A cache before one instance, which is played. Everything is kept, for 100 s, by a clock that goes as timers do. */
export function kitchen(play: Play, setting: CacheSetting = {}, clock: ManualClock = new TimersClock()) {
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

/** `answer1`, `answer2` and so on. */
export const counted = (): Play => {
  let calls = 0;
  return (attempt) => saying(`answer${++calls}`)(attempt);
};
