import type { ChatEvents, PreparedChat } from '../../core/chat.ts';
import { MizanError } from '../../core/errors.ts';
import type { Failure } from '../../core/failure.ts';
import { failureTable, wordsToKeep } from '../../core/failure.ts';
import type { TrailStep } from '../../core/trail.ts';
import type { Usage } from '../../core/usage.ts';
import { sumOf, unknownUsage } from '../../core/usage.ts';
import type { AnswerHead } from '../call.ts';
import type { Instance, Model } from '../routing/model.ts';
import type { Lease } from '../routing/pool.ts';
import type { Served } from '../routing/served.ts';
import type { AttemptResult } from './attempt.ts';
import { attempt, hasManyChoices } from './attempt.ts';
import { nextPauseMs, pause } from './backoff.ts';
import type { Contestant } from './hedge.ts';
import { standingOf } from '../queue/fair-line.ts';
import { earnHedge, hedgeLease, race } from './hedge.ts';
import { isFree, refused, tryToHold, unsent } from './holds.ts';
import type { Answered, AnswerOrder, Hold, SpendingOrder } from './order.ts';
import { Joint, PartialAnswer } from './resume.ts';
import { errorOf, gone } from './told.ts';

/**
 * Brings a call to its answer: asks an instance, and decides by the table of failures what comes next. Another
 * instance, another model and a second one in parallel are only asked while the caller has seen nothing; afterwards
 * the one thing left is to take up the answer where it broke off, where the model allows that.
 * @throws MizanError where no instance could be asked at all.
 */
export function answer(order: AnswerOrder): Promise<Answered> {
  return new Answering(order).run();
}

class Answering {
  readonly #order: AnswerOrder;
  readonly #trail: TrailStep[] = [];
  readonly #visited = new Set<Served>();
  #served: Served;
  #tried = new Set<Instance>();
  /** Attempts in the model that is being asked now. */
  #attempts = 0;
  /** A retry is paid for and not made yet; where another model is asked in its place, it is given back. */
  #isRetryPaid = false;
  #pauseMs = 0;
  /** When the attempt that is under way was begun, or the first of two. */
  #askedAt = 0;
  #usage: Usage = unknownUsage;
  /** What upstreams took of the call's time, in ms. */
  #upstreamMs = 0;
  #firstTokenAt: number | null = null;
  #hasBegun = false;
  #partial: PartialAnswer | null = null;
  /** Where a continuation is being joined to what was sent. */
  #joint: Joint | null = null;
  #resumed = 0;
  /** How the last attempt was brought to go on with an answer. */
  #continuation: 'prefill' | 'instruction' | null = null;
  #isPrefillRefused = false;
  /** What is held for the attempt that comes next. */
  #held: Hold | null = null;
  /** The last attempt and who made it; for what the caller is told where nothing follows. */
  #last: { readonly instance: Instance; readonly model: Model; readonly result: AttemptResult } | null = null;

  constructor(order: AnswerOrder) {
    this.#order = order;
    this.#served = order.served;
    this.#enter(order.served);
  }

  async run(): Promise<Answered> {
    for (;;) {
      const lease = this.#freeLease() ?? (await this.#lease());
      if (lease === null) {
        this.#giveRetryBack();
        return this.#ended();
      }
      if (!isFree(this.#order.spending)) {
        const paid = await this.#pay(lease);
        if (paid === 'later') continue;
        if (paid === 'refused') return this.#ended();
      }
      const result = await this.#ask(lease);
      if (result.failure === null || !(await this.#goesOn(result.failure))) return this.#ended();
    }
  }

  /**
   * Holds what asking it may use; where there is not enough left for another attempt, the failure of the last stands.
   * `later`: the first had to wait, and the instance was given to others meanwhile.
   * @throws MizanError where there is not enough for the first.
   */
  async #pay(lease: Lease): Promise<'paid' | 'later' | 'refused'> {
    const { spending } = this.#order;
    const order = this.#spendingOn(lease.instance);
    try {
      this.#held = (await spending?.reserve(order)) ?? null;
      return 'paid';
    } catch (error) {
      lease.release(unsent);
      this.#giveRetryBack();
      if (this.#last !== null) return 'refused';
      if (spending !== null && (await spending.awaitRoom(order))) return 'later';
      throw error;
    }
  }

  #spendingOn(instance: Instance): SpendingOrder {
    const written = this.#hasBegun ? (this.#usage.outputTokens ?? 0) : 0;
    return { model: this.#served.pool.model.id, instance, needs: this.#order.needs, written };
  }

  /** An instance that can be asked at once, as nearly always. */
  #freeLease(): Lease | null {
    const found = this.#served.pool.acquire(this.#order.needs, this.#tried);
    return 'exclusions' in found ? null : found;
  }

  /** An instance to ask; `null` where there is none and an attempt has failed already. */
  async #lease(): Promise<Lease | null> {
    const { needs, call } = this.#order;
    for (;;) {
      const { pool } = this.#served;
      let found: Lease | { readonly exclusions: readonly unknown[] };
      let refusal: MizanError;
      try {
        const got = await pool.acquireInTurn(needs, this.#tried, {
          ...standingOf(call.principal),
          signal: call.signal,
        });
        if (!('exclusions' in got)) return got;
        found = got;
        refusal = pool.refusal(got, needs);
      } catch (error) {
        if (!(error instanceof MizanError) || (error.code === 'client_closed' && this.#last === null)) throw error;
        if (error.code === 'client_closed') return null;
        found = { exclusions: [] };
        refusal = error;
      }
      const list = refusal.code === 'context_length_exceeded' ? 'contextLength' : 'any';
      if (!this.#hasBegun && this.#turnTo(list)) continue;
      if (this.#last === null) throw refusal;
      if (found.exclusions.length === 0 || !(await this.#mayAskAgain())) return null;
    }
  }

  /** After a pause, those who failed may be asked again, where the failure says that it can help. */
  async #mayAskAgain(): Promise<boolean> {
    const kind = this.#last?.result.failure?.kind;
    if (kind === undefined || failureTable[kind].next !== 'again' || this.#tried.size === 0) return false;
    const { random, call, clock } = this.#order;
    this.#pauseMs = nextPauseMs(this.#pauseMs, random);
    if (clock.monotonic() + this.#pauseMs >= this.#deadline) return false;
    this.#tried = new Set();
    await pause(this.#pauseMs, call.signal);
    return !call.signal.aborted;
  }

  get #deadline(): number {
    return this.#order.call.startedAt + this.#served.pool.model.timeouts.totalMs;
  }

  /** Whether another attempt follows a failed one; with everything that has to be changed for it. */
  async #goesOn(failure: Failure): Promise<boolean> {
    const { next } = failureTable[failure.kind];
    const { policy } = this.#served;
    const asked = this.#last?.instance;
    if (asked === undefined || this.#order.call.signal.aborted) return false;
    if (this.#hasBegun) {
      if (policy.resume && this.#complete()) return false;
      if (this.#continuation === 'prefill' && failure.kind === 'rejected') {
        this.#isPrefillRefused = true;
        return this.#attempts < policy.maxAttempts + 1;
      }
      const mayResume =
        policy.resume &&
        this.#partial?.canContinue === true &&
        !hasManyChoices(this.#order.chat) &&
        (next === 'again' || next === 'instance');
      if (!mayResume || this.#attempts >= policy.maxAttempts || !this.#payRetry()) return false;
      this.#tried.add(asked);
      return true;
    }
    if (next === 'end') return false;
    if (next === 'longer') return this.#turnTo('contextLength');
    if (next === 'lenient') return this.#turnTo('contentPolicy');
    this.#tried.add(asked);
    const mayRetry = this.#attempts < policy.maxAttempts && this.#payRetry();
    return mayRetry || this.#turnTo('any');
  }

  /** Everything was said and only the terminator is missing: then there is nothing to resume, and nothing to break off. */
  #complete(): boolean {
    const last = this.#last;
    if (last === null || last.result.ending.length === 0) return false;
    for (const events of last.result.ending) this.#pass(events, () => {});
    this.#last = { ...last, result: { ...last.result, failure: null } };
    return true;
  }

  /** Goes over to the next model of a list of fallbacks. */
  #turnTo(list: 'any' | 'contextLength' | 'contentPolicy'): boolean {
    for (const id of this.#order.served.policy.fallbacks[list]) {
      const served = this.#order.models.served(id);
      if (served === undefined || this.#visited.has(served)) continue;
      this.#enter(served);
      return true;
    }
    return false;
  }

  #payRetry(): boolean {
    this.#isRetryPaid = this.#served.retries.spend();
    return this.#isRetryPaid;
  }

  #giveRetryBack(): void {
    if (this.#isRetryPaid) this.#served.retries.giveBack();
    this.#isRetryPaid = false;
  }

  #enter(served: Served): void {
    this.#giveRetryBack();
    this.#served = served;
    this.#visited.add(served);
    this.#tried = new Set();
    this.#attempts = 0;
    this.#pauseMs = 0;
    served.retries.earn();
  }

  async #ask(lease: Lease): Promise<AttemptResult> {
    this.#attempts++;
    this.#isRetryPaid = false;
    const { call, clock, chat } = this.#order;
    this.#askedAt = clock.monotonic();
    const hedgeAfterMs =
      this.#hasBegun || this.#attempts > 1 ? null : this.#served.hedgeAfterMs(chat.stream ? 'stream' : 'answer');
    earnHedge(this.#served, lease.instance, this.#order.needs);
    const hold = this.#held;
    this.#held = null;
    if (hedgeAfterMs === null) {
      const purpose = this.#hasBegun ? 'resume' : this.#trail.length === 0 ? 'first' : 'retry';
      const result = await this.#attempt(lease, { purpose, signal: call.signal, claim: () => true, hold });
      return this.#concluded(lease, result, result.durationMs);
    }
    const contestant = (asked: Lease, purpose: TrailStep['purpose'], held: Hold | null) => ({
      lease: asked,
      run: (signal: AbortSignal, claim: () => boolean) => this.#attempt(asked, { purpose, signal, claim, hold: held }),
    });
    const first = contestant(lease, 'first', hold);
    let other: Lease | null = null;
    const begin = (asked: Lease, held: Hold | null | typeof refused): Contestant | null => {
      if (held !== refused) {
        other = asked;
        return contestant(asked, 'hedge', held);
      }
      asked.release(unsent);
      return null;
    };
    const second = (): Contestant | null | Promise<Contestant | null> => {
      const asked = hedgeLease(this.#served, this.#order.needs, new Set([...this.#tried, lease.instance]));
      if (asked === null) return null;
      const held = tryToHold(this.#order.spending, () => this.#spendingOn(asked.instance));
      return held instanceof Promise ? held.then((kept) => begin(asked, kept)) : begin(asked, held);
    };
    const { winner, result } = await race(first, second, { afterMs: hedgeAfterMs, signal: call.signal });
    // Where nobody spoke, both have failed.
    if (other !== null && !result.hasDelivered) this.#tried.add((other as Lease).instance);
    return this.#concluded((winner as typeof first).lease, result, clock.monotonic() - this.#askedAt);
  }

  #concluded(lease: Lease, result: AttemptResult, upstreamMs: number): AttemptResult {
    this.#last = { instance: lease.instance, model: this.#served.pool.model, result };
    this.#upstreamMs += upstreamMs;
    this.#firstTokenAt ??= result.firstTokenAt;
    return result;
  }

  /** One attempt at one instance, with its books: the lease, the trail, the usage. */
  async #attempt(
    lease: Lease,
    settings: {
      readonly purpose: TrailStep['purpose'];
      readonly signal: AbortSignal;
      readonly claim: () => boolean;
      readonly hold: Hold | null;
    },
  ): Promise<AttemptResult> {
    const { instance } = lease;
    const { clock, call } = this.#order;
    const { model } = this.#served.pool;
    const startedAt = clock.monotonic();
    const isResuming = settings.purpose === 'resume' && this.#partial !== null;
    if (isResuming && this.#partial !== null) {
      const { wantsUsage } = this.#order.chat;
      const tokens = this.#usage.outputTokens ?? 0;
      this.#joint = new Joint(this.#partial, { wantsUsage, tokens, resumed: this.#resumed + 1 });
    }
    let hasResumed = false;
    const result = await attempt({
      instance,
      chat: this.#chatFor(instance),
      timeouts: model.timeouts,
      deadline: this.#deadline,
      signal: settings.signal,
      clock,
      needs: this.#order.needs,
      counts: settings.hold !== null,
      deliver: (events, drained) => {
        if (!settings.claim()) return true;
        if (isResuming && !hasResumed) this.#resumed++;
        hasResumed = true;
        if (!this.#hasBegun)
          call.sink.begin(this.#headAt(instance, this.#upstreamMs + clock.monotonic() - this.#askedAt));
        this.#hasBegun = true;
        return this.#pass(events, drained);
      },
    });
    const { failure, usage } = result;
    settings.hold?.settle(usage);
    this.#usage = sumOf(this.#usage, usage);
    const tokens = usage.source === 'none' ? null : (usage.inputTokens ?? 0) + (usage.outputTokens ?? 0);
    lease.release({ failure, latencyMs: result.latencyMs, tokens, quota: result.quota });
    const kind = this.#order.chat.stream ? 'stream' : 'answer';
    if (failure === null && result.latencyMs !== null) this.#served.answeredAfter(result.latencyMs, kind);
    const step: TrailStep = {
      model: model.id,
      instance: instance.id,
      provider: instance.provider.name,
      outcome: failure?.kind ?? 'ok',
      detail: failure === null ? null : wordsToKeep(failure),
      purpose: settings.purpose,
      startedMs: startedAt - call.startedAt,
      durationMs: result.durationMs,
    };
    this.#trail.push(step);
    this.#order.observe(model, step);
    return result;
  }

  #pass(received: ChatEvents, drained: () => void): boolean {
    const events = this.#joint === null ? received : this.#joint.join(received);
    if (this.#served.policy.resume) {
      this.#partial ??= new PartialAnswer();
      this.#partial.add(events);
    }
    return events.bytes.length === 0 || this.#order.call.sink.write(events, drained);
  }

  #chatFor(instance: Instance): PreparedChat {
    if (!this.#hasBegun || this.#partial === null) return this.#order.chat;
    this.#continuation = this.#isPrefillRefused ? 'instruction' : instance.provider.continuation;
    return this.#partial.continuation(this.#order.chat, this.#continuation);
  }

  #headAt(instance: Instance, upstreamMs: number): AnswerHead {
    const { agent, call, clock } = this.#order;
    return {
      agent,
      model: this.#served.pool.model.id,
      instance: instance.id,
      provider: instance.provider.name,
      cache: 'bypass',
      attempts: Math.max(1, this.#trail.length + (this.#hasBegun ? 0 : 1)),
      upstreamMs,
      gatewayMs: Math.max(0, clock.monotonic() - call.startedAt - upstreamMs),
    };
  }

  #ended(): Answered {
    const last = this.#last;
    const { call } = this.#order;
    if (last === null) throw new MizanError('internal', 'A call ended without an attempt.');
    const failure = last.result.failure;
    const head = { ...this.#headAt(last.instance, this.#upstreamMs), attempts: this.#trail.length };
    return {
      head,
      last: last.result,
      usage: this.#usage,
      error: failure === null ? null : call.signal.aborted ? gone() : errorOf(failure, last.model),
      trail: this.#trail,
      resumed: this.#resumed,
      firstTokenAt: this.#firstTokenAt,
      hasBegun: this.#hasBegun,
    };
  }
}
