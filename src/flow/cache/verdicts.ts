import type { ErrorCode } from '../../core/errors.ts';
import { MizanError } from '../../core/errors.ts';
import type { CachedAnswer } from '../../core/response-cache.ts';
import type { AnswerOrder } from '../attempts/order.ts';
import type { Directives } from './directives.ts';
import type { CacheRule } from './policy.ts';

/** Whether the answer to this request may be kept and shared. */
export function isCacheable({ chat }: AnswerOrder, { policy, params }: CacheRule): boolean {
  if (policy.when !== 'deterministic') return policy.when === 'always';
  const { body } = chat;
  const member = (name: string): unknown => (body.has(name) ? body.value[name] : params[name]);
  const seed = member('seed');
  return member('temperature') === 0 || (seed !== undefined && seed !== null);
}

/** Whether it can be given as it is. */
export function isFresh(
  kept: CachedAnswer,
  now: number,
  { rule, wish }: { readonly rule: CacheRule; readonly wish: Directives },
): boolean {
  const age = now - kept.storedAt;
  return now < kept.freshUntil && age < rule.policy.ttlMs && age <= wish.maxAgeMs;
}

/** Whether it can be given while a newer one is fetched. */
export function isGoodForNow(kept: CachedAnswer, now: number, { maxAgeMs }: Directives): boolean {
  return now < kept.refreshUntil && maxAgeMs === Infinity;
}

/** Errors that say nothing of who asked: everybody who asks the same has them, too. */
const sharedErrors: ReadonlySet<ErrorCode> = new Set([
  'context_length_exceeded',
  'unsupported_by_model',
  'content_policy',
  'no_healthy_instance',
  'overloaded',
  'unknown_model',
  'internal',
]);

/** Whether an error is everybody's who asks the same. */
export function isShared(error: unknown): boolean {
  if (!(error instanceof MizanError)) return true;
  return error.code.startsWith('upstream_') || sharedErrors.has(error.code);
}

/** Whether the same request could have been answered at another time (RFC 5861 §4). */
export function isOutage({ code, status }: MizanError): boolean {
  return isShared(new MizanError(code, '')) && code !== 'internal' && (status >= 500 || status === 429);
}
