import { MizanError } from '../../core/errors.ts';
import type { AnswerOrder } from '../attempts/order.ts';
import type { AnswerHead } from '../call.ts';
import type { Flight, Landing } from './flight.ts';
import { FlightListener } from './listener.ts';

/** How a flight was for one of those who waited for it. */
export interface Ridden {
  readonly landing: Landing;
  /** The caller went away before the end. */
  readonly hasLeft: boolean;
  /** Whether it has seen a part of the answer. */
  readonly hasBegun: boolean;
  readonly firstTokenAt: number | null;
  /** In ms. */
  readonly waitedMs: number;
}

/**
 * Waits with a caller for the end of a flight; where both stream, it is given the parts as they come. Whoever began the
 * flight stays to its end even where the caller leaves, since it is its to account for.
 */
export async function ride(flight: Flight, order: AnswerOrder, as: 'miss' | 'coalesced'): Promise<Ridden> {
  const { call, chat, clock } = order;
  const startedAt = clock.monotonic();
  const now = (): number => clock.monotonic();
  const headOf = (head: AnswerHead): AnswerHead => {
    if (as === 'miss' && !flight.isTold) return { ...head, cache: 'miss' };
    const upstreamMs = now() - startedAt;
    const gatewayMs = Math.max(0, now() - call.startedAt - upstreamMs);
    return { ...head, agent: order.agent, cache: 'coalesced', attempts: 0, upstreamMs, gatewayMs };
  };
  const listener = chat.stream ? new FlightListener(flight, call, { wantsUsage: chat.wantsUsage, headOf, now }) : null;
  flight.enter(listener);
  let hasLeft = false;
  const leaving = Promise.withResolvers<null>();
  const leave = (): void => {
    hasLeft = true;
    listener?.left();
    flight.leave(listener, call.signal.reason);
    leaving.resolve(null);
  };
  call.signal.addEventListener('abort', leave, { once: true });
  if (call.signal.aborted) leave();
  else listener?.wake();
  const landing =
    (await Promise.race([flight.landed, leaving.promise])) ??
    (as === 'miss' ? await flight.landed : { thrown: new MizanError('client_closed', 'The caller went away.') });
  // The last parts may still have to be read.
  await listener?.done;
  call.signal.removeEventListener('abort', leave);
  if (!hasLeft) flight.leave(listener, null);
  const { hasBegun = false, firstTokenAt = null } = listener ?? {};
  return { landing, hasLeft, hasBegun, firstTokenAt, waitedMs: clock.monotonic() - startedAt };
}
