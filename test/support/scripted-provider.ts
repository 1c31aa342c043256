import type { Failure } from '../../src/core/failure.ts';
import type { JsonObject } from '../../src/core/json-document.ts';
import type { Quota } from '../../src/core/quota.ts';
import type { AttemptHandler, ChatAttempt, OngoingAttempt, Provider } from '../../src/core/upstream.ts';
import type { Timeouts } from '../../src/flow/routing/model.ts';
import { plainInstance } from '../../src/flow/routing/models.ts';
import type { InstanceSettings } from '../../src/flow/routing/pool.ts';

/** One attempt, played by the test: it says what the upstream says, and sees what is done to it. */
export class ScriptedAttempt implements OngoingAttempt {
  readonly asked: ChatAttempt;
  /** `cancel`, `pause` and `resume`, in the order they were called. */
  readonly done: string[] = [];
  readonly #handler: AttemptHandler;
  readonly #cancelled = Promise.withResolvers<void>();

  constructor(asked: ChatAttempt, handler: AttemptHandler) {
    this.asked = asked;
    this.#handler = handler;
  }

  get cancelled(): Promise<void> {
    return this.#cancelled.promise;
  }

  get isCancelled(): boolean {
    return this.done.includes('cancel');
  }

  cancel(): void {
    this.done.push('cancel');
    this.#cancelled.resolve();
  }

  pause(): void {
    this.done.push('pause');
  }

  resume(): void {
    this.done.push('resume');
  }

  head(quota: Quota | null = null): this {
    this.#handler.onHead(quota);
    return this;
  }

  bytes(): this {
    this.#handler.onBytes();
    return this;
  }

  /** Events that came together, each of one chunk. */
  events(...chunks: JsonObject[]): this {
    this.#handler.onBytes();
    const text = chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('');
    this.#handler.onEvents({ bytes: Buffer.from(text), chunks });
    return this;
  }

  /** A comment, which only keeps the connection alive. */
  comment(): this {
    this.#handler.onBytes();
    this.#handler.onEvents({ bytes: Buffer.from(': alive\n\n'), chunks: [] });
    return this;
  }

  /** A chunk that is ours alone to see. */
  hidden(chunk: JsonObject): this {
    this.#handler.onEvents({ bytes: Buffer.alloc(0), chunks: [chunk] });
    return this;
  }

  answer(completion: JsonObject): void {
    this.#handler.onHead(null);
    this.#handler.onAnswer({ bytes: Buffer.from(JSON.stringify(completion)), completion });
  }

  end(): void {
    this.#handler.onEnd();
  }

  fail(failure: Partial<Failure> & Pick<Failure, 'kind'>): void {
    this.#handler.onFailure({ message: `It failed: ${failure.kind}.`, ...failure });
  }
}

/** A provider whose every attempt is played by `play`, in a later turn than it was started in. */
export class ScriptedProvider implements Provider {
  readonly name: string;
  readonly continuation: Provider['continuation'];
  readonly attempts: ScriptedAttempt[] = [];
  readonly #play: (attempt: ScriptedAttempt) => void;

  constructor(
    name: string,
    play: (attempt: ScriptedAttempt) => void = () => {},
    continuation: Provider['continuation'] = 'prefill',
  ) {
    this.name = name;
    this.continuation = continuation;
    this.#play = play;
  }

  chat(asked: ChatAttempt, handler: AttemptHandler): OngoingAttempt {
    const attempt = new ScriptedAttempt(asked, handler);
    this.attempts.push(attempt);
    queueMicrotask(() => this.#play(attempt));
    return attempt;
  }

  priceOf(): null {
    return null;
  }

  lengthsOf(): null {
    return null;
  }

  async close(): Promise<void> {}

  instance(over: Partial<InstanceSettings> = {}): InstanceSettings {
    const upstreamModel = `${this.name}-model`;
    return { ...plainInstance, id: this.name, provider: this, upstreamModel, price: null, ...over };
  }
}

/** Longer than any test. */
export const patient: Timeouts = {
  connectMs: 60_000,
  firstByteMs: 60_000,
  firstTokenMs: 60_000,
  idleMs: 60_000,
  totalMs: 60_000,
};

export const role = { choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] };
export const says = (content: string): JsonObject => ({
  choices: [{ index: 0, delta: { content }, finish_reason: null }],
});
export const finishes = (reason: string): JsonObject => ({ choices: [{ index: 0, delta: {}, finish_reason: reason }] });
export const uses = (input: number, output: number): JsonObject => ({
  choices: [],
  usage: { prompt_tokens: input, completion_tokens: output },
});
