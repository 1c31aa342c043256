import { isUtf8 } from 'node:buffer';
import { MizanError } from './errors.ts';
import { valueOfJson } from './json-text.ts';

export type JsonObject = { readonly [member: string]: unknown };

/** One change to a top-level member: its whole value, or one more item before an array's first or after its last. */
export interface JsonEdit {
  readonly member: string;
  readonly json: string;
  readonly at: 'value' | 'front' | 'back';
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** Bytes that are replaced, none where `start` is `end`, and what comes in their stead. */
interface Place extends Span {
  readonly text: string;
}

/** Deeper than any request written on purpose, and shallow enough for every recursive reader behind us. */
const maxDepth = 128;

const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * A JSON object (RFC 8259) as it was received: parsed once for reading, and its bytes kept, so that it can be
 * passed on with a few members changed and everything else untouched to the byte.
 */
export class JsonDocument {
  readonly value: JsonObject;
  readonly #text: string;
  readonly #members: ReadonlyMap<string, Span>;

  private constructor(value: JsonObject, text: string, members: ReadonlyMap<string, Span>) {
    this.value = value;
    this.#text = text;
    this.#members = members;
  }

  /**
   * Reads one JSON object.
   * @throws MizanError `invalid_json` for anything else: bad UTF-8 or syntax, a repeated key (two readers could
   * take two meanings from it), the key `__proto__`, more than 128 levels.
   */
  static parse(bytes: Buffer): JsonDocument {
    if (!isUtf8(bytes)) throw new MizanError('invalid_json', 'The body is not valid UTF-8.');
    const text = bytes.toString('utf8');
    const { members, hasEscapedKeys } = scan(text);
    let value: unknown;
    try {
      value = JSON.parse(text);
      if (hasEscapedKeys) value = valueOfJson(text);
    } catch (cause) {
      throw new MizanError('invalid_json', `The body is not valid JSON${placeOf(cause)}.`, { cause });
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new MizanError('invalid_json', `The body must be a JSON object, not ${kindOf(value)}.`);
    }
    return new JsonDocument(value as JsonObject, text, members);
  }

  /** The same for an object of our own making. */
  static of(value: JsonObject): JsonDocument {
    return JsonDocument.parse(Buffer.from(JSON.stringify(value)));
  }

  /** The text it was read from. */
  get text(): string {
    return this.#text;
  }

  has(member: string): boolean {
    return this.#members.has(member);
  }

  /** The bytes with `edits` made; members that are not there yet are added at the end. */
  edited(edits: readonly JsonEdit[]): Buffer {
    let hasMembers = this.#members.size > 0;
    const places: Place[] = [];
    for (const edit of edits) {
      places.push(this.#place(edit, hasMembers));
      hasMembers = true;
    }
    places.sort((a, b) => a.start - b.start);
    const parts: string[] = [];
    let from = 0;
    for (const place of places) {
      parts.push(this.#text.slice(from, place.start), place.text);
      from = place.end;
    }
    parts.push(this.#text.slice(from));
    return Buffer.from(parts.join(''));
  }

  #place(edit: JsonEdit, hasMembers: boolean): Place {
    const span = this.#members.get(edit.member);
    if (span === undefined) {
      const end = this.#text.lastIndexOf('}');
      const json = edit.at === 'value' ? edit.json : `[${edit.json}]`;
      const separator = hasMembers ? ',' : '';
      return { start: end, end, text: `${separator}${JSON.stringify(edit.member)}:${json}` };
    }
    if (edit.at === 'value') return { ...span, text: edit.json };
    const isEmpty = (this.value[edit.member] as readonly unknown[]).length === 0;
    const inside = edit.at === 'front' ? span.start + 1 : span.end - 1;
    const [before, after] = isEmpty ? ['', ''] : edit.at === 'front' ? ['', ','] : [',', ''];
    return { start: inside, end: inside, text: `${before}${edit.json}${after}` };
  }
}

/**
 * Walks the structure once: refuses depth and repeated keys, and notes where each top-level member's value lies.
 * Syntax is `JSON.parse`'s to judge: on text that isn't JSON, this ends early or notes nonsense, harmlessly.
 */
function scan(text: string): { readonly members: Map<string, Span>; readonly hasEscapedKeys: boolean } {
  const members = new Map<string, Span>();
  let hasEscapedKeys = false;
  /** One entry a level: the keys seen so far of an object, `null` for an array. */
  const levels: (Keys | null)[] = [];
  let keys: Keys | null = null;
  let awaitsKey = false;
  let member = '';
  let valueStart = -1;

  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case quote: {
        const end = endOfString(text, i + 1);
        if (awaitsKey && keys !== null) {
          const written = text.slice(i + 1, end);
          const isEscaped = written.includes('\\');
          const key = isEscaped ? unescaped(written) : written;
          hasEscapedKeys ||= isEscaped;
          if (key === '__proto__')
            throw new MizanError('invalid_json', `The key "__proto__" at character ${i} is not allowed.`);
          if (!keys.add(key)) {
            const shown = JSON.stringify(key.slice(0, 100));
            throw new MizanError('invalid_json', `The key ${shown} at character ${i} stands twice in one object.`);
          }
          if (levels.length === 1) member = key;
          awaitsKey = false;
        }
        i = end;
        break;
      }
      case colon:
        if (levels.length === 1) valueStart = i + 1;
        break;
      case comma:
        if (levels.length === 1) note(members, member, trimmed(text, valueStart, i));
        awaitsKey = keys !== null;
        break;
      case openBrace:
      case openBracket:
        if (levels.length === maxDepth) {
          throw new MizanError('invalid_json', `The body is nested deeper than ${maxDepth} levels at character ${i}.`);
        }
        keys = text.charCodeAt(i) === openBrace ? new Keys() : null;
        levels.push(keys);
        awaitsKey = keys !== null;
        break;
      case closeBrace:
      case closeBracket:
        if (levels.length === 1) note(members, member, trimmed(text, valueStart, i));
        levels.pop();
        keys = levels.at(-1) ?? null;
        awaitsKey = false;
        break;
      default:
    }
  }
  return { members, hasEscapedKeys };
}

/** How many keys are looked through one by one, for less than a set of them costs. */
const fewKeys = 12;

/** The keys of one object. */
class Keys {
  readonly #few: string[] = [];
  #all: Set<string> | null = null;

  /** Whether it is the first of its name. */
  add(key: string): boolean {
    if (this.#all === null) {
      if (this.#few.includes(key)) return false;
      this.#few.push(key);
      if (this.#few.length > fewKeys) this.#all = new Set(this.#few);
      return true;
    }
    const size = this.#all.size;
    return this.#all.add(key).size > size;
  }
}

function note(members: Map<string, Span>, member: string, span: Span): void {
  if (span.end > span.start && !members.has(member)) members.set(member, span);
}

/** The span without the white space around it; an empty one where there is no value. */
function trimmed(text: string, from: number, to: number): Span {
  let start = from < 0 ? to : from;
  let end = to;
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  return { start, end };
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

/** The index of the quote that ends the string whose text begins at `from`. */
function endOfString(text: string, from: number): number {
  for (let end = text.indexOf('"', from); ; end = text.indexOf('"', end + 1)) {
    if (end === -1) return text.length;
    let slashes = 0;
    while (end - 1 - slashes >= from && text.charCodeAt(end - 1 - slashes) === backslash) slashes++;
    if (slashes % 2 === 0) return end;
  }
}

/** The key as a reader would understand it: `"mod\u0065l"` is `model`. */
function unescaped(key: string): string {
  try {
    return JSON.parse(`"${key}"`) as string;
  } catch {
    return key;
  }
}

function placeOf(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : '';
  if (/^Unexpected end|^Unterminated/.test(message)) return ': it ends too early';
  const position = /at position (\d+)/.exec(message)?.[1];
  return position === undefined ? '' : ` at character ${position}`;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return `a ${typeof value}`;
}
