import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What an instance does with a request. */
export type Mood =
  | 'well'
  | 'refused'
  | 'black-hole'
  | '500'
  | 'garbage'
  | 'reset'
  | '429'
  /** A stream that says one token, then nothing. */
  | 'stall'
  /** A stream that closes after `cutAt` bytes. */
  | 'cut';

/** What every instance answers, in tokens. */
export const tokens = ['The ', 'scale ', 'weighs ', 'الميزان ', 'يزن ', '⚖️ ', 'all ', 'things ', 'fairly', '.'];

const usage = { prompt_tokens: 7, completion_tokens: tokens.length, total_tokens: 7 + tokens.length };

const completion = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'fleet',
  choices: [{ index: 0, message: { role: 'assistant', content: tokens.join('') }, finish_reason: 'stop' }],
  usage,
});

function chunk(delta: object, finish: string | null = null): string {
  const choices = [{ index: 0, delta, finish_reason: finish }];
  const body = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'fleet', choices };
  return `data: ${JSON.stringify(body)}\n\n`;
}

/** The whole stream that brings `said`, with its usage and its terminator. */
export function streamOf(said: readonly string[]): Buffer {
  const events = [
    chunk({ role: 'assistant', content: '' }),
    ...said.map((content) => chunk({ content })),
    chunk({}, 'stop'),
    `data: ${JSON.stringify({ id: 'chatcmpl-1', choices: [], usage })}\n\n`,
    'data: [DONE]\n\n',
  ];
  return Buffer.from(events.join(''));
}

/** Up to here nothing has been said; from here on the first token has. */
export const firstTokenAt = Buffer.byteLength(
  chunk({ role: 'assistant', content: '' }) + chunk({ content: tokens[0] }),
);

/** One upstream over HTTP that can be made to fail in every way, and counts. */
export class FleetMember {
  mood: Mood = 'well';
  /** For the mood `cut`. */
  cutAt = 0;
  /** Before an answer begins, in ms. */
  delayMs = 0;
  requests = 0;
  inFlight = 0;
  mostInFlight = 0;
  /** Answers whose connection the other side closed. */
  aborted = 0;
  /** When each request came, on the monotonic clock. */
  readonly times: number[] = [];
  readonly bodies: string[] = [];
  keepsBodies = false;
  #server: Server | null = null;
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}/v1`;
  }

  async open(): Promise<void> {
    const server = createServer((request, response) => void this.#serve(request, response));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Refuses connections from now on. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  }

  async be(mood: Mood): Promise<void> {
    if (mood === 'refused') await this.close();
    else if (this.#server === null) await this.open();
    this.mood = mood;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    this.inFlight++;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    this.times.push(performance.now());
    response.once('close', () => {
      this.inFlight--;
      if (!response.writableFinished) this.aborted++;
    });
    const parts: Buffer[] = [];
    request.on('error', () => {});
    request.on('data', (part: Buffer) => parts.push(part));
    request.once('end', () => {
      const body = Buffer.concat(parts).toString();
      if (this.keepsBodies) this.bodies.push(body);
      if (this.delayMs === 0) this.#answer(body, response);
      else setTimeout(() => this.#answer(body, response), this.delayMs);
    });
  }

  #answer(body: string, response: ServerResponse): void {
    if (response.destroyed) return;
    const { stream, messages } = JSON.parse(body) as {
      stream?: boolean;
      messages: { role: string; content: string }[];
    };
    if (this.mood === 'black-hole') return;
    if (this.mood === 'reset') response.socket?.resetAndDestroy();
    else if (this.mood === '500') response.writeHead(500, json).end('{"error":{"message":"broken"}}');
    else if (this.mood === '429')
      response.writeHead(429, { ...json, 'retry-after': '3' }).end('{"error":{"message":"slow down"}}');
    else if (this.mood === 'garbage') response.writeHead(200, json).end('<html>Bad gateway</html>');
    else if (stream === true) this.#stream(messages, response);
    else response.writeHead(200, json).end(completion);
  }

  #stream(messages: readonly { readonly role: string; readonly content: string }[], response: ServerResponse): void {
    const last = messages.at(-1);
    const whole = tokens.join('');
    const begun = last?.role === 'assistant' && whole.startsWith(last.content) ? last.content : '';
    const said = begun === '' ? tokens : [whole.slice(begun.length)];
    const bytes = streamOf(said);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (this.mood === 'stall') response.write(bytes.subarray(0, firstTokenAt));
    else if (this.mood === 'cut') response.write(bytes.subarray(0, this.cutAt), () => response.destroy());
    else response.end(bytes);
  }
}

const json = { 'content-type': 'application/json' };

/** So many instances, all well. */
export async function openFleet(size: number): Promise<FleetMember[]> {
  const fleet = Array.from({ length: size }, () => new FleetMember());
  await Promise.all(fleet.map((member) => member.open()));
  return fleet;
}

/** The config of a model over a fleet: instances `i0`, `i1`, … */
export function configFor(fleet: readonly FleetMember[], model: object = {}, instance: object = {}): object {
  const providers = Object.fromEntries(
    fleet.map(({ url }, i) => [`p${i}`, { kind: 'openai-compatible', baseUrl: url }] as const),
  );
  const instances = fleet.map((_, i) => ({ id: `i${i}`, provider: `p${i}`, model: 'fleet', ...instance }));
  return { providers, models: { m: { instances, ...model } }, agents: { assistant: { model: 'm' } } };
}
