import type { ChatAnswer, ChatEvents, PreparedChat } from '../../core/chat.ts';
import { deltaOf, finishReasonOf, messageOf, saysSomething, usageOf } from '../../core/chat.ts';
import type { Clock } from '../../core/clock.ts';
import type { JsonObject } from '../../core/json-document.ts';
import type { Failure, FailureKind } from '../../core/failure.ts';
import type { Quota } from '../../core/quota.ts';
import { tokensIn } from '../../core/tokens.ts';
import type { AttemptHandler, OngoingAttempt } from '../../core/upstream.ts';
import type { Usage } from '../../core/usage.ts';
import { priceOf, unknownUsage } from '../../core/usage.ts';
import type { Instance, Needs, Timeouts } from '../routing/model.ts';
import { priceNow } from '../routing/model.ts';

export interface AttemptOrder {
  readonly instance: Instance;
  readonly chat: PreparedChat;
  readonly timeouts: Timeouts;
  /** When the whole call must be over, on the monotonic clock. */
  readonly deadline: number;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly needs: Pick<Needs, 'inputTokens' | 'images'>;
  /** Whether its usage has to be known, and is counted where the upstream doesn't say it. */
  readonly counts: boolean;
  /** Takes a stream's events once the first of them says something. `false`: wait for `drained`. */
  readonly deliver: (events: ChatEvents, drained: () => void) => boolean;
}

/** How one attempt ended, and what was received of it. */
export interface AttemptResult {
  readonly failure: Failure | null;
  readonly answer: ChatAnswer | null;
  readonly usage: Usage;
  /** The upstream's own, or `null`. */
  readonly finishReason: string | null;
  /** Of a stream that broke off between its finish reason and its terminator: the events that were not delivered. */
  readonly ending: readonly ChatEvents[];
  /** Whether the caller has been sent a part of it: no other attempt may follow. */
  readonly hasDelivered: boolean;
  /** On the monotonic clock. */
  readonly firstTokenAt: number | null;
  readonly durationMs: number;
  /** From its start to its first token, or to its whole answer; `null` where none came. In ms. */
  readonly latencyMs: number | null;
  readonly quota: Quota | null;
}

type Phase = 'timeout_first_byte' | 'timeout_first_token' | 'timeout_idle' | 'timeout_total';

const phaseWords: Readonly<Record<Phase, string>> = {
  timeout_first_byte: 'did not begin to answer in time',
  timeout_first_token: 'did not say anything in time',
  timeout_idle: 'stopped in the middle of its answer',
  timeout_total: 'did not finish its answer in time',
};

/** Asks one instance once. Resolves when nothing more will come of it, and never rejects. */
export function attempt(order: AttemptOrder): Promise<AttemptResult> {
  return new Promise((resolve) => {
    new Attempt(order, resolve).start();
  });
}

/** With several choices, one's end says nothing of the others'. */
export function hasManyChoices({ body }: PreparedChat): boolean {
  const { n } = body.value;
  return typeof n === 'number' && n > 1;
}

class Attempt implements AttemptHandler {
  readonly #order: AttemptOrder;
  readonly #resolve: (result: AttemptResult) => void;
  readonly #startedAt: number;
  #ongoing: OngoingAttempt | null = null;
  /** What has to happen next, and until when, on the monotonic clock; the whole call's deadline where nothing has. */
  #phase: Phase = 'timeout_total';
  #endsAt = 0;
  /** One timer for all phases. Set early enough for each that may follow, it is hardly ever set again. */
  #timer: NodeJS.Timeout | undefined;
  #wakesAt = Number.POSITIVE_INFINITY;
  #isOver = false;
  #isPaused = false;
  /** Events that came before the first one that says something: another instance may still take over. */
  #held: ChatEvents[] | null = [];
  /** Events from the finish reason on: they are true only if the terminator follows. */
  #ending: ChatEvents[] = [];
  #deltas = 0;
  /** Output tokens by Mizan's own count, where that is asked for. */
  #written = 0;
  #firstTokenAt: number | null = null;
  #usage: Usage = unknownUsage;
  #quota: Quota | null = null;
  #finishReason: string | null = null;

  constructor(order: AttemptOrder, resolve: (result: AttemptResult) => void) {
    this.#order = order;
    this.#resolve = resolve;
    this.#startedAt = order.clock.monotonic();
  }

  start(): void {
    const { instance, chat, timeouts, signal } = this.#order;
    if (signal.aborted) {
      this.#onAbort();
      return;
    }
    signal.addEventListener('abort', this.#onAbort);
    const isTokenFirst = chat.stream && timeouts.firstTokenMs < timeouts.firstByteMs;
    if (isTokenFirst) this.#await('timeout_first_token', this.#startedAt + timeouts.firstTokenMs);
    else this.#await('timeout_first_byte', this.#startedAt + timeouts.firstByteMs);
    this.#ongoing = instance.provider.chat(
      { chat, model: instance.upstreamModel, connectTimeoutMs: timeouts.connectMs },
      this,
    );
  }

  onHead(quota: Quota | null): void {
    this.#quota = quota;
    const { chat, timeouts } = this.#order;
    if (chat.stream) this.#await('timeout_first_token', this.#startedAt + timeouts.firstTokenMs);
    else this.#awaitMore();
  }

  onBytes(): void {
    // A stream's comments keep the connection alive; they are no sign that the model goes on.
    if (!this.#order.chat.stream && this.#phase === 'timeout_idle') this.#awaitMore();
  }

  onEvents(events: ChatEvents): void {
    if (this.#isOver) return;
    if (this.#firstTokenAt !== null && events.chunks.length > 0 && !this.#isPaused) this.#awaitMore();
    for (const chunk of events.chunks) {
      this.#finishReason = finishReasonOf(chunk) ?? this.#finishReason;
      if (chunk['usage'] !== undefined && chunk['usage'] !== null) this.#usage = this.#usageOf(chunk);
      const delta = deltaOf(chunk);
      if (delta === null || !saysSomething(delta)) continue;
      this.#deltas++;
      if (this.#order.counts) this.#written += tokensOf(delta);
      if (this.#firstTokenAt === null) this.#firstToken();
    }
    if (this.#finishReason !== null && !hasManyChoices(this.#order.chat)) {
      this.#ending.push(events);
      return;
    }
    if (this.#held !== null) {
      // Comments that come before anything is said are for our connection only, and may come for ever.
      if (events.chunks.length > 0) this.#held.push(events);
      if (this.#firstTokenAt === null) return;
      this.#deliverHeld();
    } else {
      this.#deliver(events);
    }
  }

  onAnswer(answer: ChatAnswer): void {
    this.#usage = this.#usageOf(answer.completion);
    if (this.#order.counts && this.#usage.outputTokens === null) this.#written = tokensOf(messageOf(answer.completion));
    this.#finishReason = finishReasonOf(answer.completion);
    this.#finish(null, answer);
  }

  onEnd(): void {
    if (this.#finishReason === null) {
      const { name } = this.#order.instance.provider;
      this.onFailure({ kind: 'truncated', message: `${name} ended its stream without a finish reason.` });
    } else {
      this.#deliverHeld();
      for (const last of this.#ending) this.#deliver(last);
      this.#ending = [];
      this.#finish(null, null);
    }
  }

  onFailure(failure: Failure): void {
    this.#finish(failure, null);
  }

  #deliverHeld(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const early of held) this.#deliver(early);
  }

  #firstToken(): void {
    this.#firstTokenAt = this.#order.clock.monotonic();
    if (!this.#isPaused) this.#awaitMore();
  }

  #awaitMore(): void {
    this.#await('timeout_idle', this.#order.clock.monotonic() + this.#order.timeouts.idleMs);
  }

  #await(phase: Phase, endsAt: number): void {
    if (this.#isOver) return;
    const { deadline, timeouts } = this.#order;
    const isLast = deadline <= endsAt;
    this.#phase = isLast ? 'timeout_total' : phase;
    this.#endsAt = isLast ? deadline : endsAt;
    if (this.#timer === undefined) {
      const shortest = Math.min(timeouts.idleMs, timeouts.firstTokenMs);
      this.#wakeAt(Math.min(this.#endsAt, this.#startedAt + shortest), this.#startedAt);
    } else if (this.#endsAt < this.#wakesAt) {
      this.#wakeAt(this.#endsAt, this.#order.clock.monotonic());
    }
  }

  #wakeAt(at: number, now: number): void {
    clearTimeout(this.#timer);
    this.#wakesAt = at;
    this.#timer = setTimeout(this.#wake, Math.max(0, at - now));
  }

  readonly #wake = (): void => {
    const now = this.#order.clock.monotonic();
    if (now < this.#endsAt) this.#wakeAt(this.#endsAt, now);
    else this.#timedOut(this.#phase);
  };

  #deliver(events: ChatEvents): void {
    if (this.#isOver || events.bytes.length === 0 || this.#order.deliver(events, this.#drained) || this.#isPaused)
      return;
    this.#isPaused = true;
    this.#await('timeout_total', this.#order.deadline);
    this.#ongoing?.pause();
  }

  readonly #drained = (): void => {
    if (!this.#isPaused || this.#isOver) return;
    this.#isPaused = false;
    this.#awaitMore();
    this.#ongoing?.resume();
  };

  readonly #onAbort = (): void => {
    this.#ongoing?.cancel();
    this.#finish({ kind: 'cancelled', message: 'The caller went away.' }, null);
  };

  #timedOut(kind: FailureKind & Phase): void {
    this.#ongoing?.cancel();
    this.#finish({ kind, message: `${this.#order.instance.provider.name} ${phaseWords[kind]}.` }, null);
  }

  #finish(failure: Failure | null, answer: ChatAnswer | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#order.signal.removeEventListener('abort', this.#onAbort);
    const now = this.#order.clock.monotonic();
    const answeredAt = this.#firstTokenAt ?? (answer === null ? null : now);
    this.#resolve({
      failure,
      answer,
      usage: this.#completed(),
      finishReason: this.#finishReason,
      ending: this.#ending,
      hasDelivered: this.#held === null,
      firstTokenAt: this.#firstTokenAt,
      durationMs: now - this.#startedAt,
      latencyMs: answeredAt === null ? null : answeredAt - this.#startedAt,
      quota: this.#quota,
    });
  }

  #usageOf(completion: JsonObject): Usage {
    const { instance, needs } = this.#order;
    const price = priceNow(instance);
    return usageOf(completion, price, price?.image === undefined ? 0 : needs.images);
  }

  /**
   * The upstream's own usage; where it doesn't come to that, what was received: one token a delta, which is how
   * upstreams send, or more by its text. The prompt is counted where somebody has to pay for it.
   */
  #completed(): Usage {
    const { counts, needs, instance } = this.#order;
    const told = this.#usage;
    const isTold = told.inputTokens !== null && told.outputTokens !== null;
    if (told.source === 'upstream' && (isTold || told.costUsd !== null || !counts)) return told;
    if (this.#deltas === 0 && this.#written === 0 && told.source === 'none') return unknownUsage;
    const known = {
      inputTokens: told.inputTokens ?? (counts ? needs.inputTokens : null),
      outputTokens: told.outputTokens ?? Math.max(this.#deltas, this.#written),
      cachedInputTokens: told.cachedInputTokens,
      reasoningTokens: told.reasoningTokens,
    };
    const price = priceNow(instance);
    const images = price?.image === undefined ? 0 : needs.images;
    return { ...known, costUsd: priceOf(known, price, images), source: 'received' };
  }
}

/** What a message or a part of it says, in tokens: its text, its reasoning, its calls of tools. */
function tokensOf(said: JsonObject | null): number {
  let tokens = 0;
  for (const [member, value] of Object.entries(said ?? {})) {
    if (member === 'role' || value === null) continue;
    tokens += tokensIn(typeof value === 'string' ? value : JSON.stringify(value), 'usual');
  }
  return tokens;
}
