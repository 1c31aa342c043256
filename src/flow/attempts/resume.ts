import type { ChatEvents, PreparedChat } from '../../core/chat.ts';
import { deltaOf, finishReasonOf, firstChoice, textOf } from '../../core/chat.ts';
import type { JsonEdit, JsonObject } from '../../core/json-document.ts';
import type { Provider } from '../../core/upstream.ts';

/** Characters of a continuation that are looked at for repetition before any of it is passed on. */
const windowLength = 200;

/** A shorter overlap may be chance: two sentences that both begin with "The". */
const leastOverlap = 12;

const instruction =
  'Your answer broke off. Continue it exactly where it ended, in the same language and style. ' +
  'Do not repeat anything of it and do not comment on this.';

/**
 * What has been sent of a streamed answer, so that another instance can go on with it. Only text can be gone on with:
 * half a tool call can't.
 */
export class PartialAnswer {
  #text = '';
  #first: JsonObject | null = null;
  #isTextOnly = true;

  get text(): string {
    return this.#text;
  }

  /** Whether there is something to go on with, and nothing but text. */
  get canContinue(): boolean {
    return this.#isTextOnly && this.#text !== '';
  }

  /** The first chunk that was sent: all others carry its id. */
  get first(): JsonObject | null {
    return this.#first;
  }

  add(events: ChatEvents): void {
    for (const chunk of events.chunks) {
      this.#first ??= chunk;
      const delta = deltaOf(chunk);
      this.#text += textOf(delta);
      if (delta?.['tool_calls'] !== undefined && delta['tool_calls'] !== null) this.#isTextOnly = false;
    }
  }

  /** The chat that brings the rest. */
  continuation(chat: PreparedChat, how: Provider['continuation']): PreparedChat {
    const message = (role: string, content: string): JsonEdit => ({
      member: 'messages',
      json: JSON.stringify({ role, content }),
      at: 'back',
    });
    const rest = [message('assistant', this.#text), ...(how === 'instruction' ? [message('user', instruction)] : [])];
    return { ...chat, edits: [...chat.edits, ...rest] };
  }
}

/** What there was before a continuation. */
export interface JointContext {
  /** The caller asked for a usage event. */
  readonly wantsUsage: boolean;
  /** Output tokens that were received before. */
  readonly tokens: number;
  /** How often the answer has been taken up, this time included. */
  readonly resumed: number;
}

/** Joins the rest of an answer to what was sent of it: the same id, no second role, nothing said twice. */
export class Joint {
  readonly #sent: string;
  readonly #first: JsonObject | null;
  #held: string | null = '';

  readonly #before: JointContext;

  constructor(partial: PartialAnswer, before: JointContext) {
    this.#sent = partial.text;
    this.#first = partial.first;
    this.#before = before;
  }

  /** The events as the caller should see them; without bytes where they are still held back. */
  join(events: ChatEvents): ChatEvents {
    const chunks: JsonObject[] = [];
    for (const chunk of events.chunks) {
      const choice = firstChoice(chunk);
      if (choice === null) {
        if (this.#before.wantsUsage) chunks.push(this.#renamed(this.#withWholeUsage(chunk)));
        continue;
      }
      const isLast = finishReasonOf(chunk) !== null;
      const text = this.#newText(textOf(deltaOf(chunk)), isLast);
      if (text === '' && !isLast) continue;
      const { role: _role, ...delta } = deltaOf(chunk) ?? {};
      const joined = { ...choice, delta: { ...delta, content: text } };
      const mark = isLast ? { mizan: { resumed: this.#before.resumed } } : {};
      chunks.push(this.#renamed({ ...chunk, choices: [joined], ...mark }));
    }
    return { chunks, bytes: Buffer.from(chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('')) };
  }

  /** A continuation's own count leaves out what was said before it. */
  #withWholeUsage(chunk: JsonObject): JsonObject {
    const usage = chunk['usage'];
    if (typeof usage !== 'object' || usage === null) return chunk;
    const { completion_tokens: said, total_tokens: all } = usage as JsonObject;
    const add = (count: unknown): unknown => (typeof count === 'number' ? count + this.#before.tokens : count);
    return { ...chunk, usage: { ...usage, completion_tokens: add(said), total_tokens: add(all) } };
  }

  #renamed(chunk: JsonObject): JsonObject {
    const { id, created, model } = this.#first ?? {};
    return { ...chunk, ...(this.#first === null ? {} : { id, created, model }) };
  }

  #newText(text: string, isLast: boolean): string {
    if (this.#held === null) return text;
    this.#held += text;
    const mayRestart = this.#held.length < this.#sent.length && this.#sent.startsWith(this.#held);
    if ((this.#held.length < windowLength || mayRestart) && !isLast) return '';
    const rest = withoutOverlap(this.#sent, this.#held);
    this.#held = null;
    return rest;
  }
}

/** `next` without what it repeats: all of `sent` from its beginning, or the longest end of it. */
export function withoutOverlap(sent: string, next: string): string {
  if (sent.length >= leastOverlap && next.startsWith(sent)) return next.slice(sent.length);
  if (next.length >= leastOverlap && sent.startsWith(next)) return '';
  for (let length = Math.min(sent.length, next.length); length >= leastOverlap; length--) {
    if (sent.endsWith(next.slice(0, length))) return next.slice(length);
  }
  return next;
}
