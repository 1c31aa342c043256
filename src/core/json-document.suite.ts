import fc from 'fast-check';
import { MizanError } from './errors.ts';
import { JsonDocument } from './json-document.ts';
import type { Random } from './random.ts';
import { seededRandom } from './random.ts';

type Json = null | boolean | number | string | Json[] | { readonly members: readonly (readonly [string, Json])[] };

/** A text of any UTF-16 code units, lone surrogates included; `__proto__` is refused everywhere, so it is left out. */
const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 8 }),
  fc.constantFrom(
    'model',
    'messages',
    'stream',
    'سلام',
    '🙂',
    '"',
    '\\',
    '\\"',
    '}',
    ',',
    ':',
    '{"a":[',
    '\u0000',
    '\n',
  ),
  fc.array(fc.nat(0xffff), { maxLength: 5 }).map((units) => String.fromCharCode(...units)),
);
export const key = text.filter((name) => name !== '__proto__');
const scalar = fc.oneof(text, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.constant(null));

type Shapes = { value: Json; array: Json[]; object: { members: [string, Json][] } };

/** Objects are lists of members, so that their order is the test's own. */
export const shapes = fc.letrec<Shapes>((tie) => ({
  value: fc.oneof({ depthSize: 'small', withCrossShrink: true }, scalar, tie('array'), tie('object')),
  array: fc.array(tie('value'), { maxLength: 4 }),
  object: fc.record({
    members: fc.uniqueArray(fc.tuple(key, tie('value')), { maxLength: 5, selector: ([name]) => name }),
  }),
}));

interface Member {
  readonly name: string;
  /** Everything from the separator before it up to its value. */
  readonly before: string;
  readonly value: string;
  readonly after: string;
}

interface Written {
  readonly start: string;
  readonly members: readonly Member[];
  readonly end: string;
}

/** Writes an object as no two writers would: whitespace and escapes are up to `random`. */
export class Writer {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  document(members: readonly (readonly [string, Json])[]): Written {
    const written = members.map(([name, value], i) => {
      const before = `${i === 0 ? '' : ','}${this.#space()}${this.#string(name)}${this.#space()}:${this.#space()}`;
      return { name, before, value: this.#value(value), after: this.#space() };
    });
    return { start: `${this.#space()}{${this.#space()}`, members: written, end: `}${this.#space()}` };
  }

  #value(value: Json): string {
    if (typeof value === 'string') return this.#string(value);
    if (typeof value !== 'object' || value === null) return JSON.stringify(value);
    if (!Array.isArray(value)) return textOf(this.document(value.members)).trim();
    return `[${this.#space()}${value.map((item) => this.#value(item)).join(`${this.#space()},${this.#space()}`)}${this.#space()}]`;
  }

  #space(): string {
    if (this.#random() < 0.6) return '';
    return Array.from({ length: 3 }, () => ' \n\r\t'[Math.floor(this.#random() * 4)]).join('');
  }

  #string(value: string): string {
    let written = '';
    for (const character of value) {
      const isLone = character.length === 1 && /[\ud800-\udfff]/.test(character);
      if (isLone || this.#random() < 0.2) {
        for (let i = 0; i < character.length; i++) {
          const hex = character.charCodeAt(i).toString(16).padStart(4, '0');
          written += `\\u${this.#random() < 0.5 ? hex : hex.toUpperCase()}`;
        }
      } else {
        written += JSON.stringify(character).slice(1, -1);
      }
    }
    return `"${written}"`;
  }
}

export const textOf = ({ start, members, end }: Written): string =>
  start + members.map((member) => member.before + member.value + member.after).join('') + end;

export const bytesOf = (written: Written): Buffer => Buffer.from(textOf(written));

export const document = fc
  .tuple(shapes.object, fc.integer())
  .map(([{ members }, seed]): Written => new Writer(seed).document(members));

/** What a value should be read as. */
export function meaningOf(value: Json): unknown {
  if (Array.isArray(value)) return value.map(meaningOf);
  if (typeof value === 'number') return value + 0;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(value.members.map(([name, member]) => [name, meaningOf(member)]));
}

// That key is refused anywhere, also in what is added.
export const anyJson = fc
  .jsonValue()
  .map((value) => JSON.stringify(value))
  .filter((json) => !json.includes('__proto__'));

export const isNew = (written: Written, name: string): boolean =>
  written.members.every((member) => member.name !== name);

/** The same with the value of some members changed. */
export const changed = (written: Written, change: (member: Member, i: number) => string): Written => ({
  ...written,
  members: written.members.map((member, i) => ({ ...member, value: change(member, i) })),
});

export function refusal(bytes: Buffer | string): string {
  try {
    JsonDocument.parse(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
  } catch (error) {
    if (!(error instanceof MizanError) || error.code !== 'invalid_json' || error.status !== 400) throw error;
    return error.message;
  }
  throw new Error('it was accepted');
}
