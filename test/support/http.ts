import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import type { publicRequest } from '../../src/core/request-record.ts';

/** An answer, read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Of an answer in JSON. */
  readonly json: unknown;
}

export interface Asking {
  readonly token?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly signal?: AbortSignal;
}

/** Asks and reads the whole answer. */
export async function ask(url: string, { token, headers, ...rest }: Asking = {}): Promise<Answer> {
  const identity = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(url, { ...rest, headers: { ...identity, ...headers } });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: isJson && text !== '' ? JSON.parse(text) : undefined,
  };
}

/** Posts JSON. */
export async function post(url: string, token: string | undefined, body: unknown, more: Asking = {}): Promise<Answer> {
  const headers = { 'content-type': 'application/json', ...more.headers };
  return ask(url, {
    method: 'POST',
    ...more,
    ...(token === undefined ? {} : { token }),
    headers,
    body: JSON.stringify(body),
  });
}

export interface StreamEvent {
  /** `message` where it has no name of its own. */
  readonly name: string;
  readonly data: string;
}

/** The events of a stream that was read to its end. Text that is not an event makes it throw. */
export function eventsOf(text: string): StreamEvent[] {
  if (text === '') return [];
  if (!text.endsWith('\n\n')) throw new Error(`The stream ends in the middle of an event: ${text.slice(-100)}`);
  return text
    .slice(0, -2)
    .split('\n\n')
    .map((block) => {
      const match = /^(?:event: (\w+)\n)?data: ([^\n]*)$/.exec(block);
      if (match === null) throw new Error(`Not an event: ${block}`);
      return { name: match[1] ?? 'message', data: match[2] ?? '' };
    });
}

/** The text of an `/ai-process` stream, and how it ended. */
export function readProcessStream(text: string): {
  readonly output: string;
  readonly last: StreamEvent;
  readonly endings: number;
} {
  const events = eventsOf(text);
  const deltas = events.filter(({ name }) => name === 'delta').map(({ data }) => JSON.parse(data) as { text?: string });
  return {
    output: deltas.map((delta) => delta.text ?? '').join(''),
    last: events.at(-1) ?? { name: 'nothing', data: '' },
    endings: events.filter(({ name }) => name === 'done' || name === 'error').length,
  };
}

/** A stream that is read piece by piece, by a caller who may leave. */
export interface OpenStream {
  readonly response: Response;
  /** Reads on until what came so far matches. Rejects if the stream ends before. */
  until(pattern: RegExp): Promise<string>;
  /** Reads to the end. */
  rest(): Promise<string>;
  leave(): void;
}

export async function openStream(url: string, token: string, body: object): Promise<OpenStream> {
  const abort = new AbortController();
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: abort.signal,
  });
  if (response.body === null) throw new Error('The answer has no body.');
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const more = async (): Promise<boolean> => {
    const { done, value } = await reader.read();
    text += value ?? '';
    return !done;
  };
  return {
    response,
    async until(pattern) {
      while (!pattern.test(text))
        if (!(await more())) throw new Error(`The stream ended without ${String(pattern)}: ${text}`);
      return text;
    },
    async rest() {
      while (await more());
      return text;
    },
    leave: () => abort.abort(),
  };
}

/** A bare connection: for what no client would send. */
export interface Wire {
  readonly socket: Socket;
  /** Waits until what came so far matches. Rejects if the other side closes before. */
  readonly until: (pattern: RegExp) => Promise<string>;
  /** Everything that came until the other side closed. */
  readonly heard: Promise<string>;
}

export async function wire(url: string): Promise<Wire> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  let text = '';
  socket.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  // A connection that is reset under us has said what it said.
  socket.on('error', () => {});
  const heard = new Promise<string>((resolve) => {
    socket.once('close', () => resolve(text));
  });
  await once(socket, 'connect');
  return {
    socket,
    heard,
    async until(pattern) {
      while (!pattern.test(text)) {
        if (socket.closed) throw new Error(`Closed without ${String(pattern)}: ${text}`);
        await Promise.race([once(socket, 'data'), heard]);
      }
      return text;
    },
  };
}

/** Sends `bytes` as they are and returns everything that comes until the other side closes. */
export async function sendRaw(url: string, bytes: string | Buffer): Promise<string> {
  const { socket, heard } = await wire(url);
  socket.write(bytes);
  return heard;
}

/** An error as every route gives it. */
export interface ErrorShape {
  readonly code: string;
  readonly type: string;
  readonly message: string;
  readonly param: string | null;
  readonly request_id: string | null;
}

/** The error in an answer or in a stream's event. Anything but exactly the one shape makes it throw. */
export function errorOf(body: unknown): ErrorShape {
  const { error, ...others } = body as { readonly error: ErrorShape };
  const members = Object.keys(error).join();
  if (Object.keys(others).length > 0 || members !== 'code,type,message,param,request_id') {
    throw new Error(`Not the shape of an error: ${JSON.stringify(body)}`);
  }
  return error;
}

/** A row of the request log as the API shows it. */
export type Row = ReturnType<typeof publicRequest>;

/** The newest rows of the request log, by way of the API. */
export async function rows(url: string, token: string, query = 'limit=1000'): Promise<Row[]> {
  const { json } = await ask(`${url}/api/requests?${query}`, { token });
  return (json as { readonly requests: Row[] }).requests;
}

/** The row of one request as soon as it is there: where the caller left, nobody tells it when that is. */
export async function rowOf(url: string, token: string, id: string): Promise<Row> {
  for (;;) {
    const row = (await rows(url, token)).find((each) => each.id === id);
    if (row !== undefined) return row;
  }
}
