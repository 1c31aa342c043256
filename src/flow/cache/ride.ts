import { MizanError } from '../../core/errors.ts';
import type { AnswerOrder } from '../attempts/order.ts';
import type { AnswerHead } from '../call.ts';
import type { Flight, Landing } from './flight.ts';
import { FlightListener } from './listener.ts';
import { gone } from './outcome.ts';

/** However late it is, whoever shares an answer has so long to read the rest of it, in ms. */
const leastReadingMs = 10_000;

/** How a flight was for one of those who waited for it. */
export interface Ridden {
  readonly landing: Landing;
  /** Why it does not see the end: it went away, or was left behind; `null` where it does. */
  readonly left: MizanError | null;
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
  let left: MizanError | null = null;
  const leaving = Promise.withResolvers<null>();
  const leave = (reason: MizanError): void => {
    if (left !== null) return;
    left = reason;
    listener?.left();
    flight.leave(listener, call.signal.reason);
    leaving.resolve(null);
  };
  const wasCut = (): void => leave(tooSlow());
  const listener = chat.stream
    ? new FlightListener(flight, call, { wantsUsage: chat.wantsUsage, headOf, now, wasCut })
    : null;
  flight.enter(listener);
  const wasAborted = (): void => leave(gone());
  call.signal.addEventListener('abort', wasAborted, { once: true });
  if (call.signal.aborted) wasAborted();
  else listener?.wake();
  const landing =
    (await Promise.race([flight.landed, leaving.promise])) ??
    (as === 'miss' ? await flight.landed : { thrown: new MizanError('client_closed', 'The caller went away.') });
  if (listener !== null && !listener.isDone) await lastParts(listener, order);
  call.signal.removeEventListener('abort', wasAborted);
  if (left === null) flight.leave(listener, null);
  const { hasBegun = false, firstTokenAt = null } = listener ?? {};
  return { landing, left, hasBegun, firstTokenAt, waitedMs: clock.monotonic() - startedAt };
}

/** All is said, and still has to be read: until the time of the whole call is up, as where nobody shares it. */
async function lastParts(listener: FlightListener, { call, served, clock }: AnswerOrder): Promise<void> {
  const endsAt = call.startedAt + served.pool.model.timeouts.totalMs;
  const timer = setTimeout(() => listener.cut(), Math.max(leastReadingMs, endsAt - clock.monotonic()));
  await listener.done;
  clearTimeout(timer);
}

function tooSlow(): MizanError {
  return new MizanError('client_too_slow', 'The answer was read too slowly; what is missing is not sent any more.');
}
