import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startUpstream } from '../../test/support/upstream.ts';
import { HttpTransport } from '../providers/http-transport.ts';
import type { TransportError } from '../providers/transport.ts';
import type { Resolve } from './guard.ts';
import { EgressGuard } from './guard.ts';
import { egressRules } from './rules.ts';

/** A server that must see nothing. */
async function trap(): Promise<{ readonly port: number; readonly seen: () => number; readonly server: Server }> {
  let seen = 0;
  const server = createServer((socket) => {
    seen++;
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, seen: () => seen, server };
}

/** Names that lead to one list of addresses after the other, the last one for ever. */
function resolving(...lists: readonly (readonly string[])[]): { readonly resolve: Resolve; readonly asked: string[] } {
  const asked: string[] = [];
  const resolve: Resolve = (host, _options, done) => {
    const list = lists[Math.min(asked.length, lists.length - 1)] ?? [];
    asked.push(host);
    process.nextTick(() =>
      done(
        null,
        list.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      ),
    );
  };
  return { resolve, asked };
}

const request = { path: '/v1/chat/completions', headers: {}, body: Buffer.from('{}'), connectTimeoutMs: 5000 };

function send(transport: HttpTransport): Promise<TransportError | number> {
  return new Promise((resolve) => {
    let status = 0;
    transport.send(request, {
      onHead: (answered) => {
        status = answered;
      },
      onData() {},
      onEnd: () => resolve(status),
      onError: resolve,
    });
  });
}

function transportTo(origin: string, guard: EgressGuard): HttpTransport {
  const transport = new HttpTransport(origin, 5000, guard);
  onTestFinished(() => transport.close());
  return transport;
}

const forbidden = { phase: 'connect', isForbidden: true, timedOut: false, reason: 'an address that is not allowed' };

describe('a name of the public', () => {
  test.each([
    ['to this machine', ['127.0.0.1']],
    ['to a private network', ['10.0.0.1']],
    ['to this machine, in IPv6 clothes', ['::ffff:127.0.0.1']],
    ['to this machine among others', ['93.184.215.14', '127.0.0.1']],
    ['to this machine before others', ['127.0.0.1', '93.184.215.14']],
  ])('that leads %s is not connected to', async (_where, addresses) => {
    const { port, seen } = await trap();
    const { resolve } = resolving(addresses);
    const transport = transportTo(`http://api.example.com:${port}`, new EgressGuard(egressRules([]), resolve));
    expect(await send(transport)).toMatchObject(forbidden);
    expect(seen()).toBe(0);
  });

  test('is looked at anew whenever a connection is made, and only then', async () => {
    const upstream = await startUpstream((_request, response) => response.end('{}'));
    const { port } = new URL(upstream.origin);
    const { resolve, asked } = resolving(['127.0.0.1'], ['10.0.0.1', '127.0.0.1']);
    const guard = new EgressGuard(egressRules(['127.0.0.1']), resolve);
    const transport = transportTo(`http://api.example.com:${port}`, guard);
    for (let i = 0; i < 5; i++) {
      expect(await send(transport)).toBe(200);
      // What has ended is put away.
      await new Promise(setImmediate);
    }
    expect(asked).toEqual(['api.example.com']);
    upstream.server.closeAllConnections();
    await once(upstream.requests[0]!.socket, 'close');
    expect(await send(transport)).toMatchObject(forbidden);
    expect(asked).toHaveLength(2);
    expect(upstream.requests).toHaveLength(5);
  });

  test('that leads nowhere is a failure of the network', async () => {
    const { resolve } = resolving([]);
    const transport = transportTo('http://api.example.com', new EgressGuard(egressRules([]), resolve));
    expect(await send(transport)).toMatchObject({ phase: 'connect', reason: 'host name not found' });
  });

  test('is connected to at the address that was looked at, over TLS too', async () => {
    const { port, seen } = await trap();
    const { resolve, asked } = resolving(['127.0.0.1']);
    const guard = new EgressGuard(egressRules(['*.example.com']), resolve);
    expect(await send(transportTo(`https://api.example.com:${port}`, guard))).toMatchObject({ timedOut: false });
    expect(asked).toEqual(['api.example.com']);
    expect(seen()).toBe(1);
  });
});

describe('a connection', () => {
  test('to an address is made where the operator names it, without asking anyone', async () => {
    const upstream = await startUpstream((_request, response) => response.end('{}'));
    const { resolve, asked } = resolving(['10.0.0.1']);
    expect(await send(transportTo(upstream.origin, new EgressGuard(egressRules([]), resolve)))).toBe(200);
    expect(asked).toEqual([]);
  });

  test.each(['http://127.1:PORT', 'http://2130706433:PORT', 'http://0x7f.1:PORT', 'http://[::ffff:127.0.0.1]:PORT'])(
    'on a caller’s word is not made to %s',
    async (place) => {
      const { port, seen } = await trap();
      const { origin } = new URL(place.replace('PORT', String(port)));
      const connect = new EgressGuard().connector({ origin, namedBy: 'caller', timeoutMs: 1000 });
      const { hostname, protocol } = new URL(origin);
      const error = await new Promise((resolve) => {
        connect({ hostname, protocol, port: String(port) }, (...[refused]) => resolve(refused));
      });
      expect(error).toMatchObject({ code: 'ERR_FORBIDDEN_ADDRESS' });
      expect(seen()).toBe(0);
    },
  );

  test.each([
    { hostname: '127.0.0.2', protocol: 'http:' },
    { hostname: 'evil.example.com', protocol: 'http:' },
    { hostname: '127.0.0.1', protocol: 'https:' },
    { hostname: '127.0.0.1', protocol: 'http:', port: '1' },
  ])('is made to the origin that the key belongs to, not to %o', async (elsewhere) => {
    const { port, seen } = await trap();
    const origin = `http://127.0.0.1:${port}`;
    const { resolve } = resolving(['127.0.0.1']);
    const guard = new EgressGuard(egressRules(['*.example.com']), resolve);
    const connect = guard.connector({ origin, namedBy: 'config', timeoutMs: 1000 });
    const error = await new Promise((done) => {
      connect({ port: String(port), ...elsewhere }, (...[refused]) => done(refused));
    });
    expect(error).toMatchObject({ code: 'ERR_FORBIDDEN_ADDRESS' });
    expect(seen()).toBe(0);
  });
});
