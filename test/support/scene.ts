import type { FailureKind } from '../../src/core/failure.ts';
import type { AttemptsResult } from '../../src/flow/attempts.ts';
import { makeAttempts } from '../../src/flow/attempts.ts';
import type { Model, Timeouts } from '../../src/flow/routing/model.ts';
import { preparedChat } from './attempts.ts';
import type { TestCall } from './calls.ts';
import { modelOf, testCall } from './calls.ts';
import { ManualClock } from './clock.ts';
import type { ScriptedAttempt } from './scripted-provider.ts';
import { finishes, patient, role, says, ScriptedProvider } from './scripted-provider.ts';

export const chat = preparedChat({ model: 'm', messages: [{ role: 'user' }], stream: true });

export type Play = (attempt: ScriptedAttempt) => void;

export const answers: Play = (attempt) => attempt.head().events(role).events(says('Hi'), finishes('stop')).end();
export const failsWith =
  (kind: FailureKind): Play =>
  (attempt) =>
    attempt.fail({ kind });

export interface Scene {
  readonly clock: ManualClock;
  readonly call: TestCall;
  /** How each attempt was observed to end. */
  readonly observed: readonly [instance: string, kind: FailureKind | 'ok'][];
  readonly run: () => Promise<AttemptsResult>;
  /** All attempts so far, instance by instance. */
  readonly attempts: () => readonly ScriptedAttempt[];
}

/** A call to a model whose instances are played one by one, in their order. */
export function scene(plays: readonly Play[], over: Partial<Timeouts> = {}): Scene {
  const clock = new ManualClock();
  const providers = plays.map((play, i) => new ScriptedProvider(`p${i}`, play));
  const instances = providers.map((provider) => provider.instance({ price: { input: 1, output: 2 } }));
  const model: Model = modelOf(instances, { timeouts: { ...patient, ...over } });
  const call = testCall({ startedAt: clock.monotonic() });
  const observed: [instance: string, kind: FailureKind | 'ok'][] = [];
  const run = (): Promise<AttemptsResult> =>
    makeAttempts({
      call,
      agent: 'assistant',
      model,
      chat,
      clock,
      observe: (instance, _model, { failure }) => observed.push([instance.id, failure?.kind ?? 'ok']),
    });
  const attempts = (): readonly ScriptedAttempt[] => providers.flatMap((provider) => provider.attempts);
  return { clock, call, observed, run, attempts };
}
