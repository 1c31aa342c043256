import { request } from 'undici';

/** One JSON document of an issuer's. */
export interface JwksRequest {
  readonly url: string;
  /** Whose word the URL stands on: the configuration's, or a document's that lies elsewhere. */
  readonly namedBy: 'config' | 'caller';
  readonly maxBytes: number;
  /** From now to its last byte, in ms. */
  readonly deadlineMs: number;
}

/**
 * Fetches it. Follows no redirects.
 * @throws anything where it isn't had: no answer in time, another status than 200, too long, no JSON.
 */
export type JwksFetch = (request: JwksRequest) => Promise<unknown>;

/** Over undici. Where outgoing connections are guarded, the guard takes its place. */
export const fetchJwks: JwksFetch = async ({ url, maxBytes, deadlineMs }) => {
  const signal = AbortSignal.timeout(deadlineMs);
  const { statusCode, body } = await request(url, { signal, headers: { accept: 'application/json' } });
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > maxBytes) throw new Error(`${url} is longer than ${maxBytes} bytes`);
    pieces.push(piece);
  }
  if (statusCode !== 200) throw new Error(`${url} answers with status ${statusCode}`);
  return JSON.parse(Buffer.concat(pieces).toString('utf8')) as unknown;
};
