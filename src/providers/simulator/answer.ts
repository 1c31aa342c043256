import { seededRandom, type Random } from '../../core/random.ts';
import { languageOf } from './language.ts';
import { phrases, type Phrases } from './phrases.ts';
import { textOf, type ChatBody } from './request.ts';
import { instanceOf } from './schema-instance.ts';
import { tokensOf } from './tokens.ts';
import { chosenTool } from './tools.ts';

/** A text, or the arguments of a call as JSON, in tokens. */
interface Said {
  readonly tokens: readonly string[];
  readonly completionTokens: number;
}

export interface TextAnswer extends Said {
  readonly kind: 'text';
  readonly finish: 'stop' | 'length';
}

export interface CallAnswer extends Said {
  readonly kind: 'call';
  readonly id: string;
  readonly name: string;
  readonly finish: 'tool_calls' | 'length';
}

/** What the model says. The same messages always get the same answer. */
export type Answer = TextAnswer | CallAnswer;

/** An answer is never longer, as with any model; then its finish reason is `length`. */
const mostTokens = 16_384;

/** About so many characters of the caller's are quoted. */
const quoted = 60;

/**
 * Answers a request: in the language of the user's last message and quoting it, as JSON where that is asked for, or
 * by calling a tool.
 * @throws Refusal where a schema can't be satisfied or a tool isn't there.
 */
export function answerTo(body: ChatBody): Answer {
  return continuationOf(body) ?? wholeAnswerTo(body);
}

/**
 * Where the last message is the assistant's own, and begins the answer to those before it: the rest of that answer, as
 * models that continue a given beginning ("prefill") do it.
 */
function continuationOf(body: ChatBody): TextAnswer | null {
  const last = body.messages.at(-1);
  if (last?.role !== 'assistant' || body.messages.length === 1) return null;
  const whole = wholeAnswerTo({ ...body, messages: body.messages.slice(0, -1) });
  const text = whole.tokens.join('');
  const beginning = textOf(last);
  if (whole.kind !== 'text' || beginning === '' || !text.startsWith(beginning)) return null;
  const tokens = tokensOf(text.slice(beginning.length));
  return { kind: 'text', tokens, completionTokens: tokens.length, finish: whole.finish };
}

function wholeAnswerTo(body: ChatBody): Answer {
  const hash = hashOf(body);
  const limit = Math.min(body.max_completion_tokens ?? mostTokens, body.max_tokens ?? mostTokens, mostTokens);
  const tool = chosenTool(body);
  if (tool !== null) {
    const { name, parameters } = tool.function;
    const param = `tools[${body.tools?.indexOf(tool) ?? 0}].function.parameters`;
    const json = JSON.stringify(parameters === undefined || parameters === null ? {} : instanceOf(parameters, param));
    const nameTokens = tokensOf(name).length;
    const tokens = tokensOf(json);
    const kept = tokens.slice(0, Math.max(0, limit - nameTokens));
    const finish = kept.length < tokens.length ? 'length' : 'tool_calls';
    const id = `call_${hash.toString(16).padStart(8, '0')}`;
    return { kind: 'call', id, name, tokens: kept, completionTokens: nameTokens + kept.length, finish };
  }
  const tokens = untilStop(contentFor(body, hash), body.stop ?? []);
  const kept = tokens.slice(0, limit);
  const finish = kept.length < tokens.length ? 'length' : 'stop';
  return { kind: 'text', tokens: kept, completionTokens: kept.length, finish };
}

/** FNV-1a over the roles and texts of all messages. */
function hashOf(body: ChatBody): number {
  let hash = 0x811c9dc5;
  const add = (text: string): void => {
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    hash = Math.imul(hash ^ 0xffff, 0x01000193);
  };
  for (const message of body.messages) {
    add(message.role);
    add(textOf(message));
  }
  return hash >>> 0;
}

/** In tokens. */
function contentFor(body: ChatBody, hash: number): readonly string[] {
  const format = body.response_format;
  if (format?.type === 'json_schema' && format.json_schema.schema !== undefined) {
    return tokensOf(JSON.stringify(instanceOf(format.json_schema.schema, 'response_format.json_schema.schema')));
  }
  const tokens = textFor(body, hash);
  if (format === undefined || format === null || format.type === 'text') return tokens;
  return tokensOf(JSON.stringify({ answer: tokens.join('') }));
}

function textFor(body: ChatBody, hash: number): readonly string[] {
  const last = body.messages.at(-1);
  const user = body.messages.findLast(({ role }) => role === 'user') ?? last;
  const isResult = last?.role === 'tool';
  const heard = isResult ? last : user;
  const words: Phrases = phrases[languageOf(user === undefined ? '' : textOf(user))];
  const quote = quoteOf(heard === undefined ? '' : textOf(heard));
  const random = seededRandom(hash);
  const openings = isResult ? [words.tool] : words.quoting;
  const opening = quote === '' ? words.silent : pick(openings, random);
  const leftOut = pick(words.body, random);
  const sentences = words.body.filter((sentence) => sentence !== leftOut);
  const rest = [words.confession, ...sentences].map((sentence) => fixedTokens(words.gap + sentence));
  return [tokensOf(opening.replace('{quote}', () => quote)), ...rest].flat();
}

const fixed = new Map<string, readonly string[]>();

/** The tokens of a sentence that never changes, as it stands in a text: they don't depend on those before it. */
function fixedTokens(sentence: string): readonly string[] {
  let tokens = fixed.get(sentence);
  if (tokens === undefined) {
    tokens = tokensOf(sentence);
    fixed.set(sentence, tokens);
  }
  return tokens;
}

function pick(sentences: readonly string[], random: Random): string {
  return sentences[Math.floor(random() * sentences.length)] ?? '';
}

/** The first words of a text on one line, with an ellipsis where there are more. */
function quoteOf(text: string): string {
  const line = text
    .slice(0, 2 * quoted)
    .replaceAll(/\s+/g, ' ')
    .trim()
    .toWellFormed();
  let quote = '';
  for (const token of tokensOf(line)) {
    if (quote.length + token.length > quoted && quote !== '') return `${quote.trimEnd()}…`;
    quote += token;
  }
  return text.length > 2 * quoted ? `${quote.trimEnd()}…` : quote;
}

function untilStop(tokens: readonly string[], stop: string | readonly string[]): readonly string[] {
  if (stop.length === 0) return tokens;
  const text = tokens.join('');
  let end = text.length;
  for (const sequence of typeof stop === 'string' ? [stop] : stop) {
    // Half a surrogate pair would match inside a character.
    if (sequence === '' || !sequence.isWellFormed()) continue;
    const at = text.indexOf(sequence);
    if (at !== -1) end = Math.min(end, at);
  }
  return tokensOf(text.slice(0, end));
}
