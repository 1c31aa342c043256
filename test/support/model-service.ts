import { once } from 'node:events';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What one request to the mock was, to the byte. */
export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly body: Readonly<Record<string, unknown>>;
  /** Resolves when the answer is over or its connection is gone: the time, on the monotonic clock. */
  readonly closed: Promise<number>;
}

export type Behaviour = (request: Received, response: ServerResponse) => void | Promise<void>;

export interface Upstream {
  /** For `baseUrl`. */
  readonly url: string;
  /** How many requests came. */
  readonly total: number;
  /** Everything that came, by the upstream model that was asked for. */
  requestsTo(model: string): readonly Received[];
  /** The next request to `model` that nobody has taken yet. */
  next(model: string): Promise<Received>;
  close(): Promise<void>;
}

/** A model service of our own making: what happens to a request is decided by the model it names. */
export async function startUpstream(behaviours: Readonly<Record<string, Behaviour>>): Promise<Upstream> {
  const inboxes = new Map<string, { readonly all: Received[]; taken: number; wake: (() => void)[] }>();
  const inboxOf = (model: string) => {
    const inbox = inboxes.get(model) ?? { all: [], taken: 0, wake: [] };
    inboxes.set(model, inbox);
    return inbox;
  };
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    const closed = once(response, 'close').then(() => performance.now());
    // A caller that leaves resets the connection; that is what some tests are about.
    response.on('error', () => {});
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const bytes = Buffer.concat(parts);
      const body = (bytes.length === 0 ? {} : JSON.parse(bytes.toString())) as Record<string, unknown>;
      const received = { headers: request.headers, bytes, body, closed };
      const model = String(body['model']);
      const inbox = inboxOf(model);
      inbox.all.push(received);
      for (const wake of inbox.wake.splice(0)) wake();
      const behaviour = behaviours[model];
      if (behaviour === undefined) respond(response, 404, errorBody(`The model ${model} does not exist`));
      else void behaviour(received, response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    get total() {
      return [...inboxes.values()].reduce((sum, { all }) => sum + all.length, 0);
    },
    requestsTo: (model) => inboxOf(model).all,
    async next(model) {
      const inbox = inboxOf(model);
      for (;;) {
        const received = inbox.all[inbox.taken];
        if (received !== undefined) {
          inbox.taken++;
          return received;
        }
        await new Promise<void>((resolve) => {
          inbox.wake.push(resolve);
        });
      }
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };

/** A complete answer as a service sends it. */
export function completion(content: string, more: { readonly toolCalls?: readonly unknown[] } = {}): object {
  const { toolCalls } = more;
  const message = {
    role: 'assistant',
    content: toolCalls === undefined ? content : null,
    ...(toolCalls === undefined ? {} : { tool_calls: toolCalls }),
  };
  const finish = toolCalls === undefined ? 'stop' : 'tool_calls';
  return {
    id: 'chatcmpl-mock',
    object: 'chat.completion',
    created: 1_760_000_000,
    model: 'mock-2025',
    choices: [{ index: 0, message, logprobs: null, finish_reason: finish }],
    usage,
    system_fingerprint: 'fp_mock',
  };
}

/** One event of a stream. */
export function event(delta: object, finish: string | null = null): string {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish }];
  return `data: ${JSON.stringify({ id: 'chatcmpl-mock', object: 'chat.completion.chunk', created: 1_760_000_000, model: 'mock-2025', choices })}\n\n`;
}

/** The event that holds nothing but the usage: services send it to those who ask for it. */
export const usageEvent = `data: ${JSON.stringify({ id: 'chatcmpl-mock', object: 'chat.completion.chunk', created: 1_760_000_000, model: 'mock-2025', choices: [], usage })}\n\n`;

export const doneEvent = 'data: [DONE]\n\n';

export function errorBody(message: string): object {
  return { error: { message, type: 'mock_error', param: null, code: null } };
}

export function respond(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

/** The head of a stream, and its first event, which says nothing yet. */
export function beginStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(event({ role: 'assistant', content: '' }));
}

/** Answers with `words`, streamed where that was asked for. */
export function says(...words: readonly string[]): Behaviour {
  return ({ body }, response) => {
    if (body['stream'] !== true) {
      respond(response, 200, completion(words.join('')));
      return;
    }
    beginStream(response);
    for (const word of words) response.write(event({ content: word }));
    response.write(event({}, 'stop'));
    const options = body['stream_options'] as { readonly include_usage?: boolean } | undefined;
    response.end((options?.include_usage === true ? usageEvent : '') + doneEvent);
  };
}

/** Answers with an error in OpenAI's shape. */
export function fails(
  status: number,
  message = `Failed with ${status}`,
  headers: Readonly<Record<string, string>> = {},
): Behaviour {
  return (_request, response) => respond(response, status, errorBody(message), headers);
}

/** A port on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
