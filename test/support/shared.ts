import { openai } from './dialects.ts';
import type { Received, Upstream } from './model-service.ts';

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
