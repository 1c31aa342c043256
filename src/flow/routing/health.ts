import type { Failure } from '../../core/failure.ts';
import { failureTable, wordsToKeep } from '../../core/failure.ts';

/** When an instance is taken out, and for how long. Times in ms. */
export interface HealthSettings {
  /** Failures one after the other that take it out. */
  readonly consecutiveFailures: number;
  /** The share of failures in the window that does, 0 to 1, once there were `minRequests`. */
  readonly failureRate: number;
  readonly minRequests: number;
  readonly windowMs: number;
  /** How long it is out at first; it doubles each time, up to `maxEjectionMs`. */
  readonly ejectionMs: number;
  readonly maxEjectionMs: number;
  /** How long it takes to get its whole weight back afterwards. */
  readonly slowStartMs: number;
  /** How long it is out where the upstream refuses our key or account. */
  readonly lockMs: number;
  /** A pause where the upstream wants one and doesn't say how long. */
  readonly pauseMs: number;
  /** The longest pause: whoever wants more is asked again after it. */
  readonly maxPauseMs: number;
}

export const defaultHealth: HealthSettings = {
  consecutiveFailures: 3,
  failureRate: 0.5,
  minRequests: 20,
  windowMs: 30_000,
  ejectionMs: 1000,
  maxEjectionMs: 4500,
  slowStartMs: 10_000,
  lockMs: 600_000,
  pauseMs: 1000,
  maxPauseMs: 3_600_000,
};

/** Out of use: `ejected` for failing, `paused` at its own wish, `locked` for refusing our key. */
export type OutState = 'ejected' | 'paused' | 'locked';

export interface HealthView {
  readonly state: 'healthy' | 'returning' | 'probing' | OutState;
  /** Why it is not simply healthy. */
  readonly reason: string | null;
  /** In how many ms it is tried next; 0 for now, `null` where it is in use. */
  readonly nextTryMs: number | null;
}

const windowParts = 10;

/** How long an instance is out on somebody else's word, in ms: less than the minute after which they look again. */
export const hearsayMs = 45_000;

/** The least share of its weight that a returning instance gets. */
const leastShare = 0.1;

/**
 * One instance's health, from what its requests came to; it sends nothing itself. Out of use → one probe at a time →
 * back with slowly growing weight.
 */
export class Health {
  readonly #settings: HealthSettings;
  readonly #window: { part: number; ok: number; failed: number }[] = [];
  #consecutive = 0;
  #ejections = 0;
  #out: { state: OutState; until: number; reason: string; isByHearsay: boolean } | null = null;
  #isProbing = false;
  #returnedAt = Number.NEGATIVE_INFINITY;
  #lastOkAt = Number.NEGATIVE_INFINITY;

  constructor(settings: HealthSettings) {
    this.#settings = settings;
  }

  /** Whether it may be asked at `now`: at any rate, or as the one probe that finds out. */
  admits(now: number): boolean {
    return this.#out === null || (now >= this.#out.until && !this.#isProbing);
  }

  /** When it is tried again at the earliest; `now` where it may be at once. */
  nextTryAt(now: number): number {
    return this.#out === null ? now : Math.max(now, this.#out.until);
  }

  /** Whether it is out of use, or only just being tried. */
  get isOut(): boolean {
    return this.#out !== null;
  }

  /** The share of its weight that counts, `leastShare` to 1. */
  share(now: number): number {
    const back = now - this.#returnedAt;
    return back >= this.#settings.slowStartMs ? 1 : Math.max(leastShare, back / this.#settings.slowStartMs);
  }

  view(now: number): HealthView {
    const out = this.#out;
    if (out === null) {
      const isReturning = this.share(now) < 1;
      return { state: isReturning ? 'returning' : 'healthy', reason: null, nextTryMs: null };
    }
    const nextTryMs = Math.max(0, out.until - now);
    return { state: this.#isProbing ? 'probing' : out.state, reason: out.reason, nextTryMs };
  }

  /** A request is sent to it. Whether that is a probe. */
  started(): boolean {
    if (this.#out === null) return false;
    this.#isProbing = true;
    return true;
  }

  /**
   * A request to it ended.
   * @param failure `null` for an answer.
   * @param request.isProbe What `started` said.
   * @param request.isLast No other instance of the model is in use: then it stays in use as long as it answers at all.
   */
  ended(
    failure: Failure | null,
    request: { readonly isProbe: boolean; readonly isLast: boolean; readonly now: number },
  ): void {
    const { isProbe, isLast, now } = request;
    if (isProbe) this.#isProbing = false;
    const effect = failure === null ? 'ok' : failureTable[failure.kind].instance;
    if (failure === null || effect === 'ok') this.#answered(isProbe, now);
    else if (effect === 'locked') this.#takeOut('locked', now + this.#settings.lockMs, wordsToKeep(failure));
    else if (effect === 'busy' && failure.retryAfterMs !== undefined) this.#pause(failure.retryAfterMs, failure, now);
    else if (effect === 'busy' && failure.kind === 'rate_limited') this.#pause(this.#settings.pauseMs, failure, now);
    else if (effect !== 'fine') this.#failed(failure, { isProbe, isLast, now });
  }

  /**
   * Somebody else found that it doesn't answer: it is out for `hearsayMs`, and then a request finds out. What was seen here
   * lately counts for more, be it an answer or what it is out for already.
   */
  heardDown(reason: string, now: number): void {
    if (this.#out !== null || now - this.#lastOkAt < this.#settings.windowMs) return;
    this.#takeOut('ejected', now + hearsayMs, reason, true);
  }

  /** Somebody else found that it answers again: what was taken out on their word is tried by the next request. */
  heardUp(now: number): void {
    if (this.#out?.isByHearsay === true) this.#out = { ...this.#out, until: Math.min(now, this.#out.until) };
  }

  #answered(isProbe: boolean, now: number): void {
    this.#count(now).ok++;
    this.#consecutive = 0;
    this.#lastOkAt = now;
    if (!isProbe && this.#out?.state !== 'ejected') return;
    // A request that was sent before the ejection and answered after it proves as much as a probe.
    this.#out = null;
    this.#ejections = 0;
    this.#returnedAt = now;
    this.#window.length = 0;
  }

  #failed(
    failure: Failure,
    request: { readonly isProbe: boolean; readonly isLast: boolean; readonly now: number },
  ): void {
    const { isProbe, isLast, now } = request;
    this.#count(now).failed++;
    this.#consecutive++;
    if (this.#out !== null && !isProbe) return;
    const { consecutiveFailures } = this.#settings;
    const isDue = isProbe || this.#consecutive >= consecutiveFailures || this.#failsOften(now);
    const answersSometimes =
      now - this.#lastOkAt < this.#settings.windowMs && this.#consecutive < consecutiveFailures * 2;
    if (!isDue || (isLast && !isProbe && answersSometimes)) return;
    const doubled = this.#settings.ejectionMs * 2 ** this.#ejections;
    // Alone, it is asked again every second: there is nobody else to send anything to.
    const longest = isLast ? this.#settings.ejectionMs : this.#settings.maxEjectionMs;
    this.#ejections++;
    this.#takeOut('ejected', now + Math.min(doubled, longest), wordsToKeep(failure));
  }

  #pause(ms: number, failure: Failure, now: number): void {
    const until = now + Math.min(ms, this.#settings.maxPauseMs);
    if (this.#out === null || this.#out.until < until) this.#takeOut('paused', until, wordsToKeep(failure));
  }

  #takeOut(state: OutState, until: number, reason: string, isByHearsay = false): void {
    this.#out = { state, until, reason, isByHearsay };
  }

  #failsOften(now: number): boolean {
    const oldest = this.#partOf(now) - windowParts;
    let ok = 0;
    let failed = 0;
    for (const part of this.#window) {
      if (part.part <= oldest) continue;
      ok += part.ok;
      failed += part.failed;
    }
    const all = ok + failed;
    return all >= this.#settings.minRequests && failed / all >= this.#settings.failureRate;
  }

  #count(now: number): { ok: number; failed: number } {
    const part = this.#partOf(now);
    let last = this.#window.at(-1);
    if (last === undefined || last.part !== part) {
      last = { part, ok: 0, failed: 0 };
      this.#window.push(last);
      if (this.#window.length > windowParts) this.#window.shift();
    }
    return last;
  }

  #partOf(now: number): number {
    return Math.floor(now / (this.#settings.windowMs / windowParts));
  }
}
