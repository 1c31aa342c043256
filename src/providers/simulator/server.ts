import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MizanError, SetupError } from '../../core/errors.ts';
import { parseFaults, type Fault } from './faults.ts';
import { Refusal } from './openai-error.ts';
import type { SimulatorOptionsInput } from './options.ts';
import type { Playback, Stage } from './playback.ts';
import type { Death, ScriptHeaders } from './script.ts';
import { Simulator, type SimulatorStats, type SimulatorTime } from './simulator.ts';
import { chatPath, modelsPath } from './transport.ts';

/** In bytes: 10 MiB. */
const bodyLimit = 10 * 1024 * 1024;

/** In ms. Longer than clients keep idle connections, so that they meet a closed one only where they want to. */
const keepAliveTimeout = 75_000;

export interface SimulatorServerSettings {
  readonly host?: string;
  /** 0 takes any free one. */
  readonly port?: number;
  readonly options?: SimulatorOptionsInput;
  readonly time?: SimulatorTime;
}

export interface SimulatorServer {
  /** `http://127.0.0.1:8001`, without a slash at its end. */
  readonly url: string;
  stats(): SimulatorStats;
  /** Cuts what is under way, and resolves when the port is free. */
  close(): Promise<void>;
}

/**
 * The simulator as an HTTP server of its own. It speaks OpenAI's dialect, takes any bearer token or none, and obeys
 * the request header `x-simulate-fault`.
 * @throws SetupError where the port is taken or the host is not of this machine.
 */
export async function startSimulator(settings: SimulatorServerSettings = {}): Promise<SimulatorServer> {
  const { host = '127.0.0.1', port = 0, options = {}, time = {} } = settings;
  const simulator = new Simulator(options, time);
  const server = createServer({ keepAliveTimeout }, (request, response) => route(simulator, request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: Error & { readonly code?: string }) => {
      const reason = error.code === 'EADDRINUSE' ? 'the port is taken' : error.message;
      reject(new SetupError(`Can't listen on ${host}:${port}: ${reason}.`));
    });
    server.listen({ host, port, backlog: 1024 }, resolve);
  });
  const address = server.address() as AddressInfo;
  const shown = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `http://${shown}:${address.port}`,
    stats: () => simulator.stats(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function route(simulator: Simulator, request: IncomingMessage, response: ServerResponse): void {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  switch (`${request.method} ${path}`) {
    case `POST ${chatPath}`:
      receive(simulator, request, response);
      return;
    case `GET ${modelsPath}`: {
      const playback = simulator.models(new ResponseStage(response, () => playback));
      response.on('close', () => playback.stop());
      return;
    }
    case 'GET /healthz':
      sendJson(response, 200, { status: 'ok' });
      return;
    case 'GET /stats':
      sendJson(response, 200, simulator.stats());
      return;
    default:
      refuse(response, new Refusal(404, `Unknown request URL: ${request.method} ${path}.`, { code: 'unknown_url' }));
  }
}

/** Reads the body, and plays what the simulator makes of it. */
function receive(simulator: Simulator, request: IncomingMessage, response: ServerResponse): void {
  let faults: Fault[] | undefined;
  try {
    const header = request.headers['x-simulate-fault'];
    if (header !== undefined) faults = parseFaults(String(header));
  } catch (error) {
    if (!(error instanceof MizanError)) throw error;
    refuse(response, new Refusal(400, error.message, { param: 'x-simulate-fault' }));
    return;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= bodyLimit) chunks.push(chunk);
    else if (!response.headersSent) {
      chunks.length = 0;
      response.setHeader('connection', 'close');
      refuse(response, new Refusal(413, 'The body is over the limit of 10 MiB.'));
    }
  });
  request.on('end', () => {
    if (size > bodyLimit || response.destroyed) return;
    const playback = simulator.chat(Buffer.concat(chunks, size), new ResponseStage(response, () => playback), faults);
    // The client is gone: whatever was still to come is off. After a complete answer this does nothing.
    response.on('close', () => playback.stop());
    response.on('drain', () => playback.resume());
  });
}

class ResponseStage implements Stage {
  readonly #response: ServerResponse;
  readonly #playback: () => Playback;

  constructor(response: ServerResponse, playback: () => Playback) {
    this.#response = response;
    this.#playback = playback;
  }

  /** Node sends it with the first of the body, be that empty: every script has a step right after its head. */
  head(status: number, headers: ScriptHeaders): void {
    this.#response.writeHead(status, headers);
  }

  data(bytes: Buffer): void {
    if (!this.#response.write(bytes)) this.#playback().pause();
  }

  end(): void {
    this.#response.end();
  }

  die(death: Death): void {
    const socket = this.#response.socket;
    if (death === 'reset') socket?.resetAndDestroy();
    else if (death === 'refuse') socket?.destroy();
    // What was written before is still sent: the response hands it to the socket at the end of this turn.
    else setImmediate(() => socket?.destroySoon());
  }
}

function refuse(response: ServerResponse, refusal: Refusal): void {
  sendJson(response, refusal.status, refusal.body());
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length });
  response.end(bytes);
}
