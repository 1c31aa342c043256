import type { FailureKind } from '../../src/core/failure.ts';
import type { Random } from '../../src/core/random.ts';
import type { TrailStep } from '../../src/core/trail.ts';
import { answer } from '../../src/flow/attempts/answer.ts';
import type { Answered, Spending } from '../../src/flow/attempts/order.ts';
import type { HealthSettings } from '../../src/flow/routing/health.ts';
import { defaultHealth } from '../../src/flow/routing/health.ts';
import type { Model, Needs, Timeouts } from '../../src/flow/routing/model.ts';
import { Models } from '../../src/flow/routing/models.ts';
import type { InstanceSettings, PoolSettings } from '../../src/flow/routing/pool.ts';
import type { AttemptPolicy, Served } from '../../src/flow/routing/served.ts';
import { priority } from '../../src/flow/routing/strategies/priority.ts';
import { preparedChat } from './attempts.ts';
import type { TestCall } from './calls.ts';
import { servedOf, testCall } from './calls.ts';
import type { ManualClock } from './clock.ts';
import { TimersClock } from './clock.ts';
import type { ScriptedAttempt } from './scripted-provider.ts';
import { finishes, patient, role, says, ScriptedProvider } from './scripted-provider.ts';

export const chat = preparedChat({ model: 'm', messages: [{ role: 'user' }], stream: true });

const plainNeeds: Needs = {
  kind: 'stream',
  vision: false,
  tools: false,
  jsonSchema: false,
  inputTokens: 10,
  maxOutputTokens: null,
  images: 0,
  choices: 1,
  affinity: '',
};

/** Never takes an instance out for failing. */
export const patientHealth: HealthSettings = { ...defaultHealth, consecutiveFailures: Infinity, minRequests: Infinity };

export type Play = (attempt: ScriptedAttempt) => void;

export const answers: Play = (attempt) => attempt.head().events(role).events(says('Hi'), finishes('stop')).end();
export const failsWith =
  (kind: FailureKind): Play =>
  (attempt) =>
    attempt.fail({ kind });

/** One play after the other, the last one for all that follow. */
export function inTurn(...plays: readonly Play[]): Play {
  let next = 0;
  return (attempt) => plays[Math.min(next++, plays.length - 1)]!(attempt);
}

export interface SceneSettings {
  readonly timeouts?: Partial<Timeouts>;
  readonly policy?: Partial<AttemptPolicy>;
  readonly health?: HealthSettings;
  readonly queue?: PoolSettings['queue'];
  /** For every instance. */
  readonly instance?: Partial<InstanceSettings>;
  /** Of each instance's provider, by its place. */
  readonly continuation?: (place: number) => 'prefill' | 'instruction';
  readonly chat?: typeof chat;
  readonly needs?: Partial<Needs>;
  /** Other models by id, to turn to; each with one instance of its name. */
  readonly others?: Readonly<Record<string, Play>>;
  readonly random?: Random;
  readonly spending?: Spending;
}

export interface Scene {
  readonly clock: ManualClock;
  readonly call: TestCall;
  readonly served: Served;
  /** How each attempt was observed to end. */
  readonly observed: readonly [instance: string, outcome: TrailStep['outcome']][];
  /** Answers the call; or another one, of the same model. */
  readonly run: (call?: TestCall) => Promise<Answered>;
  /** All attempts so far, instance by instance. */
  readonly attempts: () => readonly ScriptedAttempt[];
}

/** A call to a model whose instances are played one by one, in their order. */
export function scene(plays: readonly Play[], settings: SceneSettings = {}): Scene {
  const { policy = {}, health, queue, others = {}, random = () => 0, continuation = () => 'prefill' } = settings;
  const clock = new TimersClock();
  const world = { clock, random };
  const timeouts = { ...patient, ...settings.timeouts };
  const strategy = { strategyName: 'priority', strategy: priority(), timeouts } as const;
  const providers = plays.map((play, i) => new ScriptedProvider(`p${i}`, play, continuation(i)));
  const price = { input: 1, output: 2 };
  const served = servedOf(
    providers.map((provider, i) => provider.instance({ price, priority: i + 1, ...settings.instance })),
    { model: strategy, policy, world, ...(health && { health }), ...(queue && { queue }) },
  );
  const configured = new Map([['fast', served]]);
  for (const [id, play] of Object.entries(others)) {
    const provider = new ScriptedProvider(id, play);
    providers.push(provider);
    configured.set(id, servedOf([provider.instance({ price })], { model: { ...strategy, id }, world }));
  }
  const models = new Models(configured, new Map(), world);
  const first = testCall({ startedAt: clock.monotonic() });
  const observed: [instance: string, outcome: TrailStep['outcome']][] = [];
  const run = (call = first): Promise<Answered> =>
    answer({
      call,
      agent: 'assistant',
      served,
      models,
      needs: { ...plainNeeds, ...settings.needs },
      chat: settings.chat ?? chat,
      spending: settings.spending ?? null,
      clock,
      random,
      observe: (_model: Model, { instance, outcome }) => observed.push([instance, outcome]),
    });
  const attempts = (): readonly ScriptedAttempt[] => providers.flatMap((provider) => provider.attempts);
  return { clock, call: first, served, observed, run, attempts };
}
