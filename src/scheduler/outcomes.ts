import type { ErrorType } from '../core/errors.ts';
import { errorTable, MizanError } from '../core/errors.ts';
import type { StoredJob } from '../core/jobs.ts';
import type { Outcome } from './running.ts';

/** The result of a try is kept in the history up to so many characters of JSON. */
const maxOutput = 64 * 1024;

/** Why a try failed; `null` where it didn't. */
export function errorOf(outcome: Outcome, job: StoredJob | undefined): unknown {
  if (outcome.kind === 'failed') return outcome.error;
  if (outcome.kind === 'done') return null;
  const seconds = Math.round((job?.timeoutMs ?? 0) / 1000);
  return new MizanError('internal', `It took longer than its time limit of ${seconds} s, and was aborted.`);
}

/** What somebody has to change first fails again at every try. */
const finalTypes: ReadonlySet<ErrorType> = new Set(['invalid_request', 'authentication', 'permission', 'not_found']);

/** Whether trying again can't help. */
export function isFinal(error: unknown): boolean {
  return error instanceof MizanError && finalTypes.has(errorTable[error.code].type);
}

/** Messages of our errors are for people; of others, nobody knows what is in them. */
export function wordsOf(error: unknown): string {
  return error instanceof MizanError ? error.message.slice(0, 2000) : 'A defect of Mizan; its log has the cause.';
}

/** As much of an output as the history keeps. */
export function bounded(output: unknown): unknown {
  const text = JSON.stringify(output ?? null);
  return text.length <= maxOutput ? (output ?? null) : { cut: text.slice(0, maxOutput) };
}
