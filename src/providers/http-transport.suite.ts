import type { Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { wireAnswer } from '../../test/support/upstream.ts';
import { HttpTransport } from './http-transport.ts';
import type { Exchange, TransportError, TransportHeaders, TransportRequest } from './transport.ts';

export function transportTo(origin: string, connectLimitMs?: number): HttpTransport {
  const transport = new HttpTransport(origin, connectLimitMs);
  onTestFinished(() => transport.close());
  return transport;
}

/** Until what has ended is put away: a connection that was just used is free again. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The upstream's end of a connection is closed, however that came. */
export const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.once('close', () => resolve()));

interface Sent {
  readonly exchange: Exchange;
  /** The names of the handler's calls, in order. */
  readonly calls: string[];
  readonly head: Promise<{ readonly status: number; readonly headers: TransportHeaders }>;
  readonly firstData: Promise<void>;
  readonly body: () => Buffer;
  /** `null` where it ended well. */
  readonly end: Promise<TransportError | null>;
}

export const request: TransportRequest = {
  path: '/v1/chat/completions',
  headers: { 'content-type': 'application/json', 'x-extra': 'é' },
  body: Buffer.from('{"model":"m","x":"سلام 🙂"}'),
  connectTimeoutMs: 5000,
};

/** @param onData Called with each part of the body. */
export function send(
  transport: HttpTransport,
  over: Partial<TransportRequest> = {},
  onData: (exchange: Exchange) => void = () => {},
): Sent {
  const calls: string[] = [];
  const parts: Buffer[] = [];
  const head = Promise.withResolvers<Awaited<Sent['head']>>();
  const firstData = Promise.withResolvers<void>();
  const end = Promise.withResolvers<TransportError | null>();
  const exchange = transport.send(
    { ...request, ...over },
    {
      onHead(status, headers) {
        calls.push('head');
        head.resolve({ status, headers });
      },
      onData(chunk) {
        calls.push('data');
        parts.push(Buffer.from(chunk));
        firstData.resolve();
        onData(exchange);
      },
      onEnd() {
        calls.push('end');
        end.resolve(null);
      },
      onError(error) {
        calls.push('error');
        end.resolve(error);
      },
    },
  );
  const body = (): Buffer => Buffer.concat(parts);
  return { exchange, calls, head: head.promise, firstData: firstData.promise, body, end: end.promise };
}

export const ok = wireAnswer(200, { 'content-type': 'application/json' }, '{"ok":true}');
