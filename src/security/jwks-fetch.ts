import type { Outgoing, OutgoingRequest } from '../core/outgoing.ts';

/**
 * Fetches one JSON document of an issuer's.
 * @throws anything where it isn't had: no answer in time, another status than 200, too long, no JSON.
 */
export type JwksFetch = (
  request: Pick<OutgoingRequest, 'url' | 'namedBy' | 'maxBytes' | 'deadlineMs'>,
) => Promise<unknown>;

/** Over what guards all connections that go out. */
export function jwksOver(outgoing: Outgoing): JwksFetch {
  return async (request) => {
    const { status, body } = await outgoing({ ...request, headers: { accept: 'application/json' } });
    if (status !== 200) throw new Error(`${request.url} answers with status ${status}`);
    return JSON.parse(body.toString('utf8')) as unknown;
  };
}
