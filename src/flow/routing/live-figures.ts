import type { Quota, QuotaLeft } from '../../core/quota.ts';
import type { Health } from './health.ts';
import type { AnswerKind, Figures } from './model.ts';

/** How fast a high latency is forgotten: after so many ms, 63 % of it. */
const decayMs = 10_000;

const minuteMs = 60_000;

/** What is left of an upstream's quota, and when it was said. */
interface Said {
  readonly left: QuotaLeft;
  readonly at: number;
}

export interface RateLimits {
  /** The instance's configured weight. */
  readonly weight: number;
  /** Per minute; `null` for no limit. */
  readonly rpm: number | null;
  readonly tpm: number | null;
}

/** Counts over the last minute, in slices: what is older than a minute goes, a slice at a time. */
class PerMinute {
  readonly #slices = new Float64Array(12);
  #slice = 0;
  #sum = 0;

  add(now: number, amount: number): void {
    this.#turn(now);
    const at = this.#slice % this.#slices.length;
    this.#slices[at] = (this.#slices[at] ?? 0) + amount;
    this.#sum += amount;
  }

  sum(now: number): number {
    this.#turn(now);
    return this.#sum;
  }

  #turn(now: number): void {
    const current = Math.floor(now / (minuteMs / this.#slices.length));
    if (current - this.#slice >= this.#slices.length) {
      this.#slices.fill(0);
      this.#sum = 0;
      this.#slice = current;
    }
    while (this.#slice < current) {
      this.#slice++;
      const at = this.#slice % this.#slices.length;
      this.#sum -= this.#slices[at] ?? 0;
      this.#slices[at] = 0;
    }
  }
}

/** A latency as it was when it was last measured. */
interface Measured {
  readonly ms: number;
  readonly at: number;
}

/** An instance's figures, kept by the pool as requests come and go. Times on the monotonic clock, in ms. */
export class LiveFigures implements Figures {
  readonly #limits: RateLimits;
  readonly #health: Health;
  readonly #requests = new PerMinute();
  readonly #tokens = new PerMinute();
  readonly #latencies: Record<AnswerKind, Measured | null> = { stream: null, answer: null };
  #said: { requests: Said | null; tokens: Said | null } = { requests: null, tokens: null };
  inFlight = 0;

  constructor(limits: RateLimits, health: Health) {
    this.#limits = limits;
    this.#health = health;
  }

  weight(now: number): number {
    return this.#limits.weight * this.#health.share(now);
  }

  latencyMs(kind: AnswerKind, now: number): number | null {
    const last = this.#latencies[kind];
    return last === null ? null : last.ms * Math.exp(-(now - last.at) / decayMs);
  }

  headroom(now: number): number {
    const { rpm, tpm } = this.#limits;
    return Math.min(
      rpm === null ? 1 : Math.max(0, 1 - this.#requests.sum(now) / rpm),
      tpm === null ? 1 : Math.max(0, 1 - this.#tokens.sum(now) / tpm),
      leftOf(this.#said.requests, now),
      leftOf(this.#said.tokens, now),
    );
  }

  /** Whether one more request of about `tokens` keeps within the configured limits per minute. */
  hasRoomFor(tokens: number, now: number): boolean {
    const { rpm, tpm } = this.#limits;
    if (rpm !== null && this.#requests.sum(now) + 1 > rpm) return false;
    // A prompt that is larger than the limit itself is let through when nothing else is running up the minute.
    return tpm === null || this.#tokens.sum(now) === 0 || this.#tokens.sum(now) + tokens <= tpm;
  }

  requestSent(now: number, tokens: number): void {
    this.inFlight++;
    this.#requests.add(now, 1);
    this.#tokens.add(now, tokens);
  }

  /** @param tokens What it used beyond the estimate it was sent with; may be negative. */
  requestEnded(now: number, tokens: number): void {
    this.inFlight--;
    this.#tokens.add(now, tokens);
  }

  /** A higher latency counts at once, a lower one little by little. */
  answeredAfter(ms: number, kind: AnswerKind, now: number): void {
    const last = this.#latencies[kind];
    const kept = last === null ? 0 : Math.exp(-(now - last.at) / decayMs);
    const before = last === null ? 0 : last.ms * kept;
    this.#latencies[kind] = { ms: last === null || ms >= before ? ms : last.ms * kept + ms * (1 - kept), at: now };
  }

  quotaSaid(quota: Quota, now: number): void {
    if (quota.requests !== null) this.#said.requests = { left: quota.requests, at: now };
    if (quota.tokens !== null) this.#said.tokens = { left: quota.tokens, at: now };
  }
}

function leftOf(said: Said | null, now: number): number {
  if (said === null || now - said.at >= (said.left.resetMs ?? minuteMs)) return 1;
  return Math.min(1, said.left.remaining / said.left.limit);
}
