import type { ChatAnswer, ChatEvents, PreparedChat } from '../../src/core/chat.ts';
import type { Failure } from '../../src/core/failure.ts';
import type { JsonEdit, JsonObject } from '../../src/core/json-document.ts';
import { JsonDocument } from '../../src/core/json-document.ts';
import type { AttemptHandler } from '../../src/core/upstream.ts';

/** A chat as the flow hands it to a provider. `body` may be text, to hold on to its bytes. */
export function preparedChat(body: JsonObject | string, over: Partial<PreparedChat> = {}): PreparedChat {
  const document = JsonDocument.parse(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));
  const edits: JsonEdit[] = [];
  return { body: document, edits, stream: document.value['stream'] === true, wantsUsage: false, ...over };
}

export type Last = { readonly answer: ChatAnswer } | { readonly failure: Failure } | 'end';

/** Hears all that a provider says of one attempt. */
export class Listener implements AttemptHandler {
  /** The names of the calls in order, but for those that only say that bytes came. */
  readonly calls: string[] = [];
  readonly events: ChatEvents[] = [];
  readonly #last = Promise.withResolvers<Last>();
  readonly #firstEvents = Promise.withResolvers<ChatEvents>();
  readonly #firstBytes = Promise.withResolvers<void>();

  /** How the attempt ended. */
  get last(): Promise<Last> {
    return this.#last.promise;
  }

  get firstEvents(): Promise<ChatEvents> {
    return this.#firstEvents.promise;
  }

  get firstBytes(): Promise<void> {
    return this.#firstBytes.promise;
  }

  /** The failure it ended with, or `null`. */
  async failure(): Promise<Failure | null> {
    const last = await this.last;
    return typeof last === 'object' && 'failure' in last ? last.failure : null;
  }

  /** All that was relayed. */
  text(): string {
    return Buffer.concat(this.events.map(({ bytes }) => bytes)).toString();
  }

  onHead(): void {
    this.calls.push('head');
  }

  onBytes(): void {
    this.#firstBytes.resolve();
  }

  onEvents(events: ChatEvents): void {
    this.calls.push('events');
    this.events.push({ bytes: Buffer.from(events.bytes), chunks: events.chunks });
    this.#firstEvents.resolve(events);
  }

  onAnswer(answer: ChatAnswer): void {
    this.calls.push('answer');
    this.#last.resolve({ answer });
  }

  onEnd(): void {
    this.calls.push('end');
    this.#last.resolve('end');
  }

  onFailure(failure: Failure): void {
    this.calls.push('failure');
    this.#last.resolve({ failure });
  }
}
