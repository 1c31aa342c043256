import type { SealContext } from '../../core/sealing.ts';
import type { PayloadKey, PlainPayload } from './document.ts';

/** A payload whose bytes lie elsewhere, one after the other. */
export interface PackedPayload extends Omit<PlainPayload, 'request' | 'answer'> {
  readonly requestLength: number;
  /** `null` for no answer. */
  readonly answerLength: number | null;
  /** Which of the keys seals it. */
  readonly key: number;
}

/** What the thread that seals is asked. */
export type PayloadQuestion =
  | {
      readonly kind: 'keep';
      readonly bytes: Uint8Array<ArrayBuffer>;
      readonly keys: readonly PayloadKey[];
      readonly payloads: readonly PackedPayload[];
    }
  | { readonly kind: 'open'; readonly sealed: Uint8Array; readonly key: PayloadKey; readonly context: SealContext };
