import { describe, expect, test } from 'vitest';
import type { OutgoingRequest } from '../core/outgoing.ts';
import { closedPort, startRawUpstream, startUpstream } from '../../test/support/upstream.ts';
import { guardedFetch } from './fetch.ts';
import { EgressGuard } from './guard.ts';

const outgoing = guardedFetch(new EgressGuard());
const ask = (url: string, over: Partial<OutgoingRequest> = {}) =>
  outgoing({ url, namedBy: 'config', maxBytes: 1000, deadlineMs: 5000, ...over });

describe('what is asked outside', () => {
  test('is answered with status, headers and body', async () => {
    const { origin, requests } = await startUpstream((_request, response) => {
      response.writeHead(404, { etag: '"1"' }).end('nothing');
    });
    const answer = await ask(`${origin}/keys?a=1`, { method: 'POST', headers: { 'x-a': 'b' }, body: '{}' });
    expect(answer).toMatchObject({ status: 404, headers: { etag: '"1"' } });
    expect(answer.body.toString()).toBe('nothing');
    expect(requests).toMatchObject([{ method: 'POST', path: '/keys?a=1', body: '{}', headers: { 'x-a': 'b' } }]);
  });

  test.each([301, 302, 303, 307, 308])('is not followed elsewhere by a %i', async (status) => {
    const elsewhere = await startUpstream((_request, response) => response.end('{}'));
    const { origin } = await startUpstream((_request, response) => {
      response.writeHead(status, { location: `${elsewhere.origin}/secret` }).end();
    });
    await expect(ask(origin, { headers: { authorization: 'Bearer key' } })).rejects.toMatchObject({
      code: 'upstream_protocol',
    });
    expect(elsewhere.requests).toEqual([]);
  });

  test('is not read beyond its limit', async () => {
    const { origin } = await startUpstream((_request, response) => response.end('x'.repeat(1001)));
    await expect(ask(origin)).rejects.toMatchObject({ code: 'upstream_protocol' });
  });

  test('is given up at its deadline, wherever it stands', async () => {
    const silent = await startRawUpstream(() => {});
    const dripping = await startRawUpstream((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx');
    });
    for (const url of [silent.origin, dripping.origin, silent.origin.replace('http:', 'https:')]) {
      await expect(ask(url, { deadlineMs: 50 })).rejects.toMatchObject({ code: 'upstream_timeout' });
    }
  });

  test('fails without telling more than the host and why', async () => {
    const origin = await closedPort();
    const { host } = new URL(origin);
    await expect(ask(`${origin}/secret-path`)).rejects.toMatchObject({
      code: 'upstream_error',
      message: `${host} could not be reached (ECONNREFUSED).`,
    });
  });

  test('is not asked on a caller’s word where it is not public', async () => {
    const { origin, requests } = await startUpstream((_request, response) => response.end('{}'));
    for (const url of [origin, origin.replace('127.0.0.1', 'localhost'), origin.replace('127.0.0.1', '127.1')]) {
      await expect(ask(url, { namedBy: 'caller' })).rejects.toMatchObject({
        code: 'upstream_error',
        cause: { code: 'ERR_FORBIDDEN_ADDRESS' },
      });
    }
    expect(requests).toEqual([]);
  });

  test.each(['file:///etc/passwd', 'ftp://example.com', 'gopher://x', 'http://u:p@example.com', '//x', 'x', 'data:,x'])(
    'is http, not %s',
    async (url) => {
      await expect(ask(url)).rejects.toMatchObject({ code: 'upstream_protocol' });
    },
  );
});
