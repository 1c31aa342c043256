import type { Provider } from '../../core/upstream.ts';
import type { Price } from '../../core/usage.ts';
import type { Strategy } from './strategies/index.ts';

/** One place where a model can be had: a provider's model, with its own weight and price. */
export interface Instance {
  /** Unique within its model. */
  readonly id: string;
  readonly provider: Provider;
  /** The model's name in the provider's own words. */
  readonly upstreamModel: string;
  /** Its share of the traffic, relative to the others'; 1 to 1000. */
  readonly weight: number;
  readonly price: Price | null;
}

/** How long each phase of an attempt may take, in ms. */
export interface Timeouts {
  readonly connectMs: number;
  /** From the start of an attempt to the first byte of its answer. */
  readonly firstByteMs: number;
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
  readonly strategy: Strategy;
  readonly timeouts: Timeouts;
}
