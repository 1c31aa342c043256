import { request } from 'undici';

/**
 * Fetches one JSON document of an issuer's. Follows no redirects.
 * @throws anything where it isn't had: no answer in time, another status than 200, too long, no JSON.
 */
export type JwksFetch = (
  url: string,
  limits: { readonly signal: AbortSignal; readonly maxBytes: number },
) => Promise<unknown>;

/** Over undici. Where outgoing connections are guarded, the guard takes its place. */
export const fetchJwks: JwksFetch = async (url, { signal, maxBytes }) => {
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
