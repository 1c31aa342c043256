import type { Client } from 'undici';
import { MizanError } from '../core/errors.ts';
import type { Outgoing, OutgoingAnswer, OutgoingRequest } from '../core/outgoing.ts';
import type { EgressGuard } from './guard.ts';

/** `Outgoing` over a connection of its own for each request, made through `guard`. */
export function guardedFetch(guard: EgressGuard): Outgoing {
  return async (request) => {
    const url = placeOf(request.url);
    const { namedBy, deadlineMs: timeoutMs, maxBytes } = request;
    const connect = guard.connector({ origin: url.origin, namedBy, timeoutMs });
    const undici = await import('undici');
    const client = new undici.Client(url.origin, { connect, maxResponseSize: maxBytes, allowH2: false, pipelining: 0 });
    try {
      return await answerOf(client, url, request);
    } catch (error) {
      throw knownError(error, url.host);
    } finally {
      void client.destroy();
    }
  };
}

async function answerOf(client: Client, url: URL, request: OutgoingRequest): Promise<OutgoingAnswer> {
  const { method = 'GET', headers = {}, body = null, deadlineMs } = request;
  const answer = await client.request({
    path: `${url.pathname}${url.search}`,
    method,
    headers: { 'user-agent': 'mizan', ...headers },
    body,
    signal: AbortSignal.timeout(deadlineMs),
  });
  const { statusCode: status } = answer;
  if (status >= 300 && status < 400) {
    throw new MizanError('upstream_protocol', `${url.host} answered with a redirect, which is not followed.`);
  }
  return { status, headers: answer.headers, body: Buffer.from(await answer.body.arrayBuffer()) };
}

function placeOf(given: string): URL {
  const url = URL.canParse(given) ? new URL(given) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new MizanError('upstream_protocol', 'What is to be asked is not an http or https URL.');
  }
  return url;
}

function knownError(error: unknown, host: string): MizanError {
  if (error instanceof MizanError) return error;
  const { name = '', code = '' } = error as { readonly name?: string; readonly code?: string };
  const cause = { cause: error };
  if (name === 'TimeoutError' || code === 'UND_ERR_CONNECT_TIMEOUT') {
    return new MizanError('upstream_timeout', `${host} did not answer in time.`, cause);
  }
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
    return new MizanError('upstream_protocol', `${host} answered with more than was to be read.`, cause);
  }
  if (code === 'ERR_FORBIDDEN_ADDRESS') {
    return new MizanError('upstream_error', `${host} is at an address that Mizan does not connect to.`, cause);
  }
  return new MizanError('upstream_error', `${host} could not be reached${code === '' ? '' : ` (${code})`}.`, cause);
}
