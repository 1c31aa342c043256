import { MizanError } from '../../core/errors.ts';
import type { Failure, FailureKind } from '../../core/failure.ts';
import { failureTable } from '../../core/failure.ts';
import type { Model } from '../routing/model.ts';

/** Failures whose status is the upstream's own answer to the caller. */
const passedOn: ReadonlySet<FailureKind> = new Set(['rejected', 'context_length', 'content_policy']);

/** For the log: whoever left in between attempts is told nothing, and nobody failed them. */
export const gone = (): MizanError => new MizanError('client_closed', 'The caller went away.');

/** What the caller is told of the last failure. */
export function errorOf(failure: Failure, model: Model): MizanError {
  const { code } = failureTable[failure.kind];
  const message = failure.kind === 'unknown_model' ? `${model.id}: ${failure.message}` : failure.message;
  const status =
    passedOn.has(failure.kind) && failure.status !== undefined && failure.status !== 403 ? failure.status : undefined;
  return new MizanError(code, message, {
    ...(status === undefined ? {} : { status }),
    ...(failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs }),
    ...(failure.param === undefined ? {} : { param: failure.param }),
    cause: failure.cause,
  });
}
