import type { LookedUp, LookUp } from '../core/upstream.ts';
import type { Transport, TransportError } from './transport.ts';

/** One GET over `transport`; nothing is tried twice, but for a kept connection that had been closed. */
export function lookUp(
  transport: Transport,
  question: { readonly path: string; readonly headers: Readonly<Record<string, string>> },
  { maxBytes, deadlineMs, signal }: Omit<LookUp, 'path'>,
): Promise<LookedUp> {
  return new Promise((resolve) => {
    let status = 0;
    let size = 0;
    const parts: Buffer[] = [];
    const give = (found: LookedUp): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', left);
      resolve(found);
    };
    const giveUp = (kind: 'broken' | 'late' | 'aborted', reason: string): void => {
      exchange.abort();
      give({ kind, reason });
    };
    const left = (): void => giveUp('aborted', 'nobody waits for it any more');
    const timer = setTimeout(() => giveUp('late', `no whole answer within ${deadlineMs / 1000} s`), deadlineMs);
    const request = { ...question, method: 'GET', body: Buffer.alloc(0), connectTimeoutMs: deadlineMs } as const;
    const exchange = transport.send(request, {
      onHead: (given) => void (status = given),
      onData(part) {
        size += part.length;
        if (size > maxBytes) giveUp('broken', `it sent more than ${maxBytes} bytes`);
        else parts.push(part);
      },
      onEnd: () => give({ kind: 'answer', status, body: Buffer.concat(parts) }),
      onError: (error) => give({ kind: kindOf(error), reason: error.reason }),
    });
    signal.addEventListener('abort', left);
    if (signal.aborted) left();
  });
}

function kindOf({ phase, timedOut, isForbidden }: TransportError): 'unreachable' | 'broken' | 'late' | 'forbidden' {
  if (isForbidden === true) return 'forbidden';
  if (timedOut) return 'late';
  return phase === 'connect' ? 'unreachable' : 'broken';
}
