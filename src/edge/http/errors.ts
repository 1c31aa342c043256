import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError } from 'fastify';
import { errorTable, MizanError } from '../../core/errors.ts';

/** The one shape of an error as the headers and the body of an answer. */
export function errorAnswer(
  error: MizanError,
  requestId: string | null,
): { readonly headers: Record<string, string | number>; readonly body: string } {
  const body = JSON.stringify(error.toPublic(requestId));
  const headers: Record<string, string | number> = {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
  };
  if (error.retryAfterMs !== undefined) headers['retry-after'] = Math.max(1, Math.ceil(error.retryAfterMs / 1000));
  if (error.status === 401) headers['www-authenticate'] = 'Bearer';
  if (error.code === 'shutting_down') headers['connection'] = 'close';
  return { headers, body };
}

/** What Fastify and Node call the mistakes of callers. */
const byFastifyCode: Readonly<Record<string, (error: FastifyError) => MizanError>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () => new MizanError('payload_too_large', 'The body is over the limit.'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: notJson,
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new MizanError('invalid_request', 'The body is not as long as Content-Length says.', { param: 'content-length' }),
  FST_ERR_BAD_URL: () => new MizanError('invalid_request', 'The path of the request is not a valid URL path.'),
  FST_ERR_MAX_PARAM_LENGTH: () => new MizanError('invalid_request', 'A part of the path is too long.'),
};

export function notJson(): MizanError {
  const message = 'Send the body with "Content-Type: application/json".';
  return new MizanError('unsupported_media_type', message, { param: 'content-type' });
}

/** Any error as one of ours; `undefined` for a defect, whose words are nobody's business. */
export function knownError(error: unknown): MizanError | undefined {
  if (error instanceof MizanError) return error;
  if (!(error instanceof Error)) return undefined;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE') {
    return new MizanError('client_closed', 'The caller went away.');
  }
  return byFastifyCode[code]?.(error as FastifyError);
}

/** What Node keeps on a connection: the answer that is being written to it, if there is one. */
type Connection = Socket & { readonly _httpMessage?: ServerResponse | null };

/**
 * What Node's HTTP parser refuses before there is a request. Where an answer to an earlier request has begun on the
 * same connection, words of ours would become part of it: there the connection ends at once, which is no ending of an
 * answer.
 */
export function answerBrokenHttp(error: Error & { readonly code?: string }, socket: Connection): void {
  if (error.code === 'ECONNRESET' || !socket.writable || socket._httpMessage?.headersSent === true) {
    socket.destroy();
    return;
  }
  const refusal =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new MizanError('headers_too_large', 'The headers are over 16 KiB.')
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? new MizanError('request_timeout', 'The request did not arrive in time.')
        : new MizanError('invalid_request', 'This is not an HTTP/1.1 request that can be read.');
  const { headers, body } = errorAnswer(refusal, null);
  const lines = Object.entries({ ...headers, connection: 'close' }).map(([name, value]) => `${name}: ${value}`);
  const reason = errorTable[refusal.code].type.replaceAll('_', ' ');
  socket.end(`HTTP/1.1 ${refusal.status} ${reason}\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
}
