import type { FailureKind } from './failure.ts';

/** One attempt, as it is remembered: who was asked and what came of it. */
export interface TrailStep {
  readonly model: string;
  readonly instance: string;
  readonly provider: string;
  readonly outcome: 'ok' | FailureKind;
  /** The failure in words; `null` for an answer. */
  readonly detail: string | null;
  /** What it was for: the first attempt, one in the place of a failed one, a second one in parallel, or the rest of an answer. */
  readonly purpose: 'first' | 'retry' | 'hedge' | 'resume';
  /** How long the request had been under way, and how long the attempt took, in ms. */
  readonly startedMs: number;
  readonly durationMs: number;
}
