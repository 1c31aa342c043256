import { once } from 'node:events';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import { createServer as createNetServer } from 'node:net';
import { onTestFinished } from 'vitest';

async function listening(server: NetServer): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An upstream over HTTP on loopback, for the test that asks for it. */
export interface Upstream {
  readonly origin: string;
  readonly server: Server;
  /** Every request so far, with its whole body. */
  readonly requests: readonly ReceivedRequest[];
}

export interface ReceivedRequest {
  readonly path: string;
  readonly method: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly socket: Socket;
}

/** @param answer Called once a request's body is there. */
export async function startUpstream(
  answer: (request: ReceivedRequest, response: ServerResponse) => void,
): Promise<Upstream> {
  const requests: ReceivedRequest[] = [];
  const listener: RequestListener = (message, response) => {
    const parts: Buffer[] = [];
    message.on('data', (part: Buffer) => parts.push(part));
    message.on('end', () => {
      const { url = '', method = '', headers, socket } = message;
      const request = { path: url, method, headers, body: Buffer.concat(parts).toString(), socket };
      requests.push(request);
      answer(request, response);
    });
  };
  const server = createServer(listener);
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { origin: await listening(server), server, requests };
}

/** Bytes on a socket, for what no HTTP server would do. */
export interface RawUpstream {
  readonly origin: string;
  /** How many connections there were. */
  readonly connections: readonly Socket[];
}

/** @param onRequest Called with each piece that arrives, and how many came on that connection before it. */
export async function startRawUpstream(
  onRequest: (socket: Socket, piece: Buffer, earlier: number) => void,
): Promise<RawUpstream> {
  const connections: Socket[] = [];
  const server = createNetServer((socket) => {
    connections.push(socket);
    let pieces = 0;
    socket.on('error', () => {});
    socket.on('data', (piece: Buffer) => onRequest(socket, piece, pieces++));
  });
  onTestFinished(() => {
    server.close();
    for (const socket of connections) socket.destroy();
  });
  return { origin: await listening(server), connections };
}

/** A whole answer as it goes over the wire. */
export function wireAnswer(status: number, headers: Readonly<Record<string, string>>, body: string): Buffer {
  const all = { 'content-length': String(Buffer.byteLength(body)), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${status} -\r\n${lines.join('')}\r\n`), Buffer.from(body)]);
}

/** A port of this machine on which nobody listens. */
export async function closedPort(): Promise<string> {
  const server = createNetServer();
  const origin = await listening(server);
  server.close();
  await once(server, 'close');
  return origin;
}
