import type { Random } from '../../core/random.ts';
import type { Provider } from '../../core/upstream.ts';
import type { Price } from '../../core/usage.ts';
import type { StrategyName } from '../../core/strategy-name.ts';

/** One place where a model can be had: a provider's model, with what it can do and what it may be asked. */
export interface Instance {
  /** Unique within its model. */
  readonly id: string;
  readonly provider: Provider;
  /** The model's name in the provider's own words. */
  readonly upstreamModel: string;
  /** Its share of the traffic, relative to the others'; 1 to 1000. */
  readonly weight: number;
  /** Its tier for the `priority` strategy: 1 is asked first. */
  readonly priority: number;
  /** Of the configuration; `null` where that says nothing, and its provider may: see {@link priceNow}. */
  readonly price: Price | null;
  /** Requests it may answer at the same time; `null` for any number. */
  readonly maxInFlight: number | null;
  /** Requests per minute it may be sent; likewise tokens. */
  readonly rpm: number | null;
  readonly tpm: number | null;
  readonly tags: readonly string[];
  /** Tokens of prompt and answer together; `null` where it isn't known, and nothing is refused. */
  readonly contextLength: number | null;
  /** The most tokens that it answers with; likewise. */
  readonly maxOutputTokens?: number | null;
  readonly capabilities: Capabilities;
  /** How it is doing right now. */
  readonly figures: Figures;
}

/** What an instance costs at the moment; `null` where nobody knows. Providers' prices may change while Mizan runs. */
export function priceNow({ price, provider, upstreamModel }: Instance): Price | null {
  return price ?? provider.priceOf(upstreamModel);
}

/** What an instance can do; `true` where the config doesn't say otherwise. */
export interface Capabilities {
  readonly vision: boolean;
  readonly tools: boolean;
  readonly jsonSchema: boolean;
}

/** How an answer comes. What is measured of the one says nothing of the other: its first token, or the whole of it. */
export type AnswerKind = 'stream' | 'answer';

/** An instance's live figures. Times are on the monotonic clock, in ms. */
export interface Figures {
  readonly inFlight: number;
  /** The weight that counts now: less than the configured one while the instance comes back slowly. */
  weight(now: number): number;
  /**
   * Peak-sensitive moving average, in ms: of a stream's time to first token, or of a whole answer's. It jumps up with a
   * slow one and decays with time. `null` before the first of its kind.
   */
  latencyMs(kind: AnswerKind, now: number): number | null;
  /**
   * The share of its quota that is left, 0 to 1: the least of what the upstream's own rate-limit headers and the
   * configured `rpm` and `tpm` say. 1 where nothing limits it.
   */
  headroom(now: number): number;
}

/** What a request asks of an instance. Computed when it is first looked at. */
export interface Needs {
  readonly kind: AnswerKind;
  readonly vision: boolean;
  readonly tools: boolean;
  readonly jsonSchema: boolean;
  /** An estimate, rather too high than too low. */
  readonly inputTokens: number;
  /** What the request allows for the answer; `null` where it doesn't say. */
  readonly maxOutputTokens: number | null;
  /** Pictures in it. */
  readonly images: number;
  /** Answers that it wants at once (`n`). */
  readonly choices: number;
  /** What should reach the same instance again: the session, else the beginning of the prompt. */
  readonly affinity: string;
}

/** What a strategy decides from. */
export interface Choice {
  /** At least one; each is able and free to take the request. In the config's order. */
  readonly candidates: readonly Instance[];
  readonly needs: Needs;
  /** On the monotonic clock, in ms. */
  readonly now: number;
  readonly random: Random;
}

/** Decides which of a model's instances is asked. One is made for every model. */
export interface Strategy {
  /** One of the candidates. It changes nothing: asking twice decides nothing. */
  choose(choice: Choice): Instance;
  /** Told that `instance` is really asked, for strategies that take turns. */
  took?(instance: Instance, choice: Choice): void;
}

/** How long each phase of an attempt may take, in ms. */
export interface Timeouts {
  readonly connectMs: number;
  /** From the start of an attempt to the first byte of its answer. */
  readonly firstByteMs: number;
  /** From the start of an attempt to its first token, on streams. */
  readonly firstTokenMs: number;
  /** Between two pieces of an answer. */
  readonly idleMs: number;
  /** The whole call, with all its attempts. */
  readonly totalMs: number;
}

/** A model as callers name it, over its instances. */
export interface Model {
  readonly id: string;
  /** Its name in metrics: the id, or `provider/*` for models called directly, which no config bounds. */
  readonly label: string;
  readonly instances: readonly Instance[];
  readonly strategyName: StrategyName;
  readonly strategy: Strategy;
  readonly timeouts: Timeouts;
}
