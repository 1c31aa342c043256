import type { ChatRequest } from '../../core/chat.ts';
import type { JsonObject } from '../../core/json-document.ts';
import { tokensIn } from '../../core/tokens.ts';
import type { Agent } from '../agents/agents.ts';
import type { AnswerKind, Needs } from './model.ts';

/** Characters of the prompt's beginning by which requests are told to belong together. */
const prefixLength = 2048;

/** Tokens that a picture is taken for, where nobody has counted. */
const imageTokens = 1000;

/** No answer is longer. */
const mostOutputTokens = 100_000_000;

/** What a request asks of an instance, read from its body when it is first looked at. */
export class RequestNeeds implements Needs {
  readonly #request: ChatRequest;
  readonly #system: string | null;
  readonly #params: JsonObject;
  #inputTokens: number | null = null;
  #affinity: string | null = null;

  /** @param agent What it puts before the messages, and the members that hold where the request doesn't set them. */
  constructor(request: ChatRequest, agent: Pick<Agent, 'system' | 'params'> | null) {
    this.#request = request;
    this.#system = agent?.system ?? null;
    this.#params = agent?.params ?? {};
  }

  get kind(): AnswerKind {
    return this.#request.stream ? 'stream' : 'answer';
  }

  get vision(): boolean {
    return this.images > 0;
  }

  get images(): number {
    return this.#parts().filter((part) => part['type'] === 'image_url').length;
  }

  get choices(): number {
    const n = this.#member('n');
    return typeof n === 'number' && Number.isSafeInteger(n) && n > 1 ? Math.min(n, 1000) : 1;
  }

  get tools(): boolean {
    const tools = this.#member('tools');
    return Array.isArray(tools) && tools.length > 0;
  }

  get jsonSchema(): boolean {
    const format = this.#member('response_format');
    return typeof format === 'object' && format !== null && (format as JsonObject)['type'] === 'json_schema';
  }

  get inputTokens(): number {
    this.#inputTokens ??= this.#estimate();
    return this.#inputTokens;
  }

  get maxOutputTokens(): number | null {
    let most: number | null = null;
    for (const name of ['max_completion_tokens', 'max_tokens']) {
      const given = this.#member(name);
      if (given === undefined || given === null) continue;
      // What is no number of tokens is taken for none at all: to some servers -1 means that there is no limit.
      if (typeof given !== 'number' || given < 1) return null;
      // Which of the two an upstream goes by, only it knows.
      most = Math.max(most ?? 0, Math.min(Math.ceil(given), mostOutputTokens));
    }
    return most;
  }

  get affinity(): string {
    this.#affinity ??= this.#request.session ?? `${this.#system ?? ''}${this.#beginning()}`.slice(0, prefixLength);
    return this.#affinity;
  }

  /** A member of the body as the upstream will see it. */
  #member(name: string): unknown {
    const { body } = this.#request;
    return body.has(name) ? body.value[name] : this.#params[name];
  }

  #messages(): readonly JsonObject[] {
    return this.#request.body.value['messages'] as readonly JsonObject[];
  }

  #parts(): JsonObject[] {
    const parts = this.#messages().flatMap(({ content }) => (Array.isArray(content) ? (content as unknown[]) : []));
    return parts.filter((part): part is JsonObject => typeof part === 'object' && part !== null);
  }

  #beginning(): string {
    let text = '';
    for (const message of this.#messages()) {
      const { content } = message;
      text += typeof content === 'string' ? content : JSON.stringify(content ?? null);
      if (text.length >= prefixLength) break;
    }
    return text;
  }

  /** Rather too high than too low: nobody is sent to a model that can't take it for the sake of a few tokens. */
  #estimate(): number {
    let tokens = tokensIn(this.#system ?? '') + 3;
    for (const { content, tool_calls: calls } of this.#messages()) {
      tokens += 4;
      if (typeof content === 'string') tokens += tokensIn(content);
      if (calls !== undefined) tokens += tokensIn(JSON.stringify(calls));
    }
    for (const part of this.#parts()) {
      tokens += typeof part['text'] === 'string' ? tokensIn(part['text']) : imageTokens;
    }
    const tools = this.#member('tools');
    return tools === undefined ? tokens : tokens + tokensIn(JSON.stringify(tools));
  }
}
