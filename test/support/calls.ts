import type { ChatEvents, ChatRequest } from '../../src/core/chat.ts';
import type { Clock } from '../../src/core/clock.ts';
import { JsonDocument } from '../../src/core/json-document.ts';
import type { Principal } from '../../src/core/principal.ts';
import type { Random } from '../../src/core/random.ts';
import { seededRandom } from '../../src/core/random.ts';
import type { AnswerHead, AnswerSink, Call } from '../../src/flow/call.ts';
import { defaultHealth } from '../../src/flow/routing/health.ts';
import type { Model } from '../../src/flow/routing/model.ts';
import type { InstanceSettings, PoolSettings } from '../../src/flow/routing/pool.ts';
import { defaultQueue, Pool } from '../../src/flow/routing/pool.ts';
import type { AttemptPolicy } from '../../src/flow/routing/served.ts';
import { defaultPolicy, Served } from '../../src/flow/routing/served.ts';
import { roundRobin } from '../../src/flow/routing/strategies/round-robin.ts';
import { ManualClock } from './clock.ts';
import { patient } from './scripted-provider.ts';

/** The caller's end of a streamed answer, which reads when it likes. */
export class RecordingSink implements AnswerSink {
  readonly heads: AnswerHead[] = [];
  readonly events: ChatEvents[] = [];
  /** While it is set, writes are told to wait. */
  isFull = false;
  #drained: (() => void)[] = [];

  begin(head: AnswerHead): void {
    this.heads.push(head);
  }

  write(events: ChatEvents, drained: () => void): boolean {
    this.events.push(events);
    if (this.isFull) this.#drained.push(drained);
    return !this.isFull;
  }

  /** Tells everyone who waits, as a socket does. */
  drain(): void {
    this.isFull = false;
    for (const drained of this.#drained.splice(0)) drained();
  }

  text(): string {
    return Buffer.concat(this.events.map(({ bytes }) => bytes)).toString();
  }
}

export const principal: Principal = {
  subject: 'someone',
  tenant: 'acme',
  role: 'member',
  agents: null,
  models: null,
  scope: 'own',
  via: 'jwt',
  credential: null,
};

export interface TestCall extends Call {
  readonly sink: RecordingSink;
  /** The caller goes away. */
  leave(): void;
}

export function testCall(
  over: Partial<Omit<Call, 'sink' | 'signal'>> & { readonly request?: ChatRequest } = {},
): TestCall {
  const controller = new AbortController();
  const { request = chatRequest({ agent: null }), ...rest } = over;
  return {
    id: 'req_1',
    receivedAt: Date.UTC(2026, 0, 1),
    startedAt: 0,
    principal,
    body: request.body.edited([]),
    read: () => request,
    ...rest,
    signal: controller.signal,
    sink: new RecordingSink(),
    leave: () => controller.abort(),
  };
}

export function chatRequest(target: ChatRequest['target'], stream = true): ChatRequest {
  const body = JsonDocument.of({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], stream });
  return { target, body, stream, wantsUsage: false, session: null };
}

export interface ServedSettings extends Partial<PoolSettings> {
  readonly model?: Partial<Omit<Model, 'instances'>>;
  readonly policy?: Partial<AttemptPolicy>;
  readonly world?: { readonly clock: Clock; readonly random: Random };
}

/** A model in service over these instances, which are asked in turn. */
export function servedOf(instances: readonly InstanceSettings[], settings: ServedSettings = {}): Served {
  const { world = { clock: new ManualClock(), random: seededRandom(1) } } = settings;
  const { model = {}, policy = {}, health = defaultHealth, queue = defaultQueue } = settings;
  const id = model.id ?? 'fast';
  const pool = new Pool(
    {
      id,
      label: id,
      strategyName: 'round-robin',
      strategy: roundRobin(),
      timeouts: patient,
      ...model,
      instances,
    },
    { health, queue },
    world,
  );
  return new Served(pool, { ...defaultPolicy, ...policy });
}
