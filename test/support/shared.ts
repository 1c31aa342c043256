import { once } from 'node:events';
import type { Socket } from 'node:net';
import { openai } from './dialects.ts';
import { wire } from './http.ts';
import type { Behaviour, Received, Upstream } from './model-service.ts';
import { beginStream, doneEvent, event } from './model-service.ts';

/** The last thing that was said to the upstream. */
export const contentOf = ({ body }: Received): string =>
  (body['messages'] as readonly { readonly content: string }[]).at(-1)?.content ?? '';

/** How many upstream calls there were for something that was said. */
export function callsTo(upstream: Upstream, model: string, content: string): number {
  return upstream.requestsTo(model).filter((received) => contentOf(received) === content).length;
}

/** Upstream calls that wait for the test, by what was asked. */
export class Gates {
  readonly #gates = new Map<string, PromiseWithResolvers<void>>();

  opened(content: string): Promise<void> {
    return this.#gate(content).promise;
  }

  open(content: string): void {
    this.#gate(content).resolve();
  }

  #gate(content: string): PromiseWithResolvers<void> {
    let gate = this.#gates.get(content);
    if (gate === undefined) this.#gates.set(content, (gate = Promise.withResolvers<void>()));
    return gate;
  }
}

export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What a whole answer of `/v1` says; `null` for a stream that is not complete. */
export function saidIn(text: string, isStream: boolean): string | null {
  if (!isStream) {
    return (JSON.parse(text) as { choices: { message: { content: string } }[] }).choices[0]!.message.content;
  }
  const { output, isComplete } = openai.readStream(text);
  return isComplete ? output : null;
}

/** An upstream that says a word, waits for the test, and then says very much. */
export class Flood {
  /** Of 64 KiB each: more than lies in all sockets on the way and is kept for those who are behind. */
  static readonly parts = 512;
  /** How many it has got rid of. */
  sent = 0;
  readonly behaviour: Behaviour;

  constructor(gates: Gates) {
    this.behaviour = async (received, response) => {
      beginStream(response);
      response.write(event({ content: 'ww' }));
      await gates.opened(contentOf(received));
      for (let i = 0; i < Flood.parts; i++) {
        this.sent = i;
        if (!response.write(event({ content: 'w'.repeat(64 * 1024) }))) await once(response, 'drain');
        await nextTurn();
      }
      response.end(event({}, 'stop') + doneEvent);
    };
  }
}

/** A caller of `/v1` who reads the first word, and then nothing any more. */
export async function stall(
  url: string,
  token: string,
  body: object,
): Promise<{ readonly id: string; readonly heard: Promise<string>; readonly socket: Socket }> {
  const { socket, until, heard } = await wire(url);
  const asked = JSON.stringify(body);
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(asked)}\r\n\r\n${asked}`,
  );
  const head = await until(/ww/);
  socket.pause();
  return { id: /x-request-id: (\S+)/i.exec(head)?.[1] ?? '', heard, socket };
}
