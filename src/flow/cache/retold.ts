import type { ChatEvents } from '../../core/chat.ts';
import { deltaOf, finishReasonOf, firstChoice, isUsageOnly, textOf } from '../../core/chat.ts';
import { MizanError } from '../../core/errors.ts';
import type { JsonObject } from '../../core/json-document.ts';
import type { AnswerSink } from '../call.ts';
import type { Part } from './storable.ts';

/**
 * An answer that is told once more to those who have heard its beginning from another upstream call: what they have
 * heard is left out. Where it is not the same to the letter, nothing of it is passed on.
 */
export class Retold implements AnswerSink {
  readonly canBe: boolean;
  readonly #sink: AnswerSink;
  readonly #abort = new AbortController();
  readonly #first: JsonObject | null;
  /** What has to come again before anything is new. */
  #known: string;
  /** Whether its end was heard, and its usage. */
  readonly #hasEnd: boolean;
  readonly #hasUsage: boolean;

  /** @param parts What was heard; `null` where that is not known any more. */
  constructor(parts: readonly Part[] | null, sink: AnswerSink) {
    const chunks = (parts ?? []).flatMap(({ events }) => events.chunks);
    this.#sink = sink;
    this.#first = chunks[0] ?? null;
    this.#known = chunks.map((chunk) => textOf(deltaOf(chunk))).join('');
    this.#hasEnd = chunks.some((chunk) => finishReasonOf(chunk) !== null);
    this.#hasUsage = chunks.some(isUsageOnly);
    this.canBe = parts !== null && chunks.every(isText);
  }

  /** Where the beginning can't be gone on with. */
  static error(): MizanError {
    return new MizanError('upstream_truncated', 'The answer broke off, and another one was not the same.');
  }

  /** Aborted as soon as it is not the same. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Who is told has seen a head already. */
  begin(): void {}

  write(events: ChatEvents, drained: () => void): boolean {
    const chunks: JsonObject[] = [];
    for (const chunk of events.chunks) {
      const rest = this.#newOf(chunk);
      if (rest !== null) chunks.push(rest);
    }
    if (chunks.length === 0 || this.signal.aborted) return true;
    const bytes = Buffer.from(chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join(''));
    return this.#sink.write({ chunks, bytes }, drained);
  }

  /** What of a chunk is new; `null` for nothing. */
  #newOf(chunk: JsonObject): JsonObject | null {
    const { id, created, model } = this.#first ?? chunk;
    const renamed = { ...chunk, id, created, model };
    const choice = firstChoice(chunk);
    if (choice === null) return isUsageOnly(chunk) && this.#hasUsage ? null : renamed;
    if (this.#known === '') return this.#hasEnd || isRole(chunk) ? null : renamed;
    const text = textOf(deltaOf(chunk));
    const isSame = isText(chunk) && (text.startsWith(this.#known) || this.#known.startsWith(text));
    const isEnd = finishReasonOf(chunk) !== null;
    const isShort = isEnd && text.length < this.#known.length;
    if (!isSame || isShort) {
      this.#abort.abort(Retold.error());
      return null;
    }
    const news = text.slice(this.#known.length);
    this.#known = this.#known.slice(text.length);
    if (news === '' && (!isEnd || this.#hasEnd)) return null;
    return { ...renamed, choices: [{ ...choice, delta: { content: news } }] };
  }
}

/** Whether it is a piece of one text, and nothing else. */
function isText(chunk: JsonObject): boolean {
  const { choices } = chunk;
  if (!Array.isArray(choices) || choices.length > 1) return false;
  if ((firstChoice(chunk)?.['index'] ?? 0) !== 0) return false;
  const { content: _content, role: _role, ...more } = deltaOf(chunk) ?? {};
  return Object.values(more).every((value) => value === null || value === '');
}

/** Whether it says who speaks, and nothing else: that was said. */
function isRole(chunk: JsonObject): boolean {
  const { role, ...said } = deltaOf(chunk) ?? {};
  if (role === undefined || finishReasonOf(chunk) !== null) return false;
  return Object.values(said).every((value) => value === null || value === '');
}
