import { Budget } from './budget.ts';
import type { AnswerKind, Instance } from './model.ts';
import type { Pool } from './pool.ts';

/** A model's list of others to turn to, by model ids in their order. */
export interface Fallbacks {
  /** Where it can't be had at all. */
  readonly any: readonly string[];
  /** Where a prompt is too long for it. */
  readonly contextLength: readonly string[];
  /** Where its upstreams refuse the content. */
  readonly contentPolicy: readonly string[];
}

export interface HedgeSettings {
  /** When a second instance is asked, in ms; `null` for the model's own 95th percentile of first-token time. */
  readonly afterMs: number | null;
  /** At most this share of requests, and of what they are estimated to cost; 0 to 1. */
  readonly maxShare: number;
}

/** What a model does where its first attempt doesn't answer. */
export interface AttemptPolicy {
  /** Attempts within this model, the first one included. */
  readonly maxAttempts: number;
  /** Retries as a share of its requests, so that an outage isn't multiplied; 0 to 1. */
  readonly retryRatio: number;
  readonly fallbacks: Fallbacks;
  readonly hedge: HedgeSettings | null;
  /** Whether an answer that broke off after its beginning is taken up by another instance. */
  readonly resume: boolean;
}

export const noFallbacks: Fallbacks = { any: [], contextLength: [], contentPolicy: [] };

export const defaultPolicy: AttemptPolicy = {
  maxAttempts: 3,
  retryRatio: 0.2,
  fallbacks: noFallbacks,
  hedge: null,
  resume: false,
};

/** Retries, and hedges, that a model may make before it has had any traffic. */
const freeRetries = 20;
const freeHedges = 2;

/** First-token times that the percentile is taken over. */
const remembered = 200;

/** Before so many are known, nothing is hedged by percentile. */
const leastKnown = 20;

/** A model in service: its pool, its policy, and what it has left for retries and hedges. */
export class Served {
  readonly pool: Pool;
  readonly policy: AttemptPolicy;
  readonly retries: Budget;
  readonly hedges: Budget;
  /** In US dollars; for models whose prices are known. */
  readonly hedgeCosts: Budget;
  /** Kept apart: a stream's first token and a whole answer don't compare. */
  readonly #latencies = { stream: new Latencies(), answer: new Latencies() } as const;

  constructor(pool: Pool, policy: AttemptPolicy) {
    this.pool = pool;
    this.policy = policy;
    const hedgeShare = policy.hedge?.maxShare ?? 0;
    this.retries = new Budget(policy.retryRatio, freeRetries);
    this.hedges = new Budget(hedgeShare, hedgeShare > 0 ? freeHedges : 0);
    this.hedgeCosts = new Budget(hedgeShare, hedgeShare > 0 ? 0.01 : 0);
  }

  /** An attempt answered after so many ms: with its first token, or with the whole answer. */
  answeredAfter(ms: number, kind: AnswerKind): void {
    if (this.policy.hedge !== null) this.#latencies[kind].add(ms);
  }

  /** When a second instance should be asked, in ms; `null` for not at all. */
  hedgeAfterMs(kind: AnswerKind): number | null {
    const { hedge } = this.policy;
    return hedge === null ? null : (hedge.afterMs ?? this.#latencies[kind].p95());
  }
}

/** The latest of them, in ms. */
class Latencies {
  readonly #latest: number[] = [];
  #next = 0;

  add(ms: number): void {
    this.#latest[this.#next] = ms;
    this.#next = (this.#next + 1) % remembered;
  }

  /** `null` before there are enough to say. */
  p95(): number | null {
    if (this.#latest.length < leastKnown) return null;
    const sorted = this.#latest.toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length * 0.95)] ?? null;
  }
}

/** What a request may cost at an instance, in US dollars; `null` where its price isn't known. */
export function estimatedCost(instance: Instance, inputTokens: number, outputTokens: number): number | null {
  const { price } = instance;
  return price === null ? null : (inputTokens * price.input + outputTokens * price.output) / 1e6;
}
