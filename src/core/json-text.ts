/**
 * The value of a JSON text that `JSON.parse` accepts. Needed where a key is written with an escape: there V8 mistakes
 * it for a key with a backslash in it that some text before had in the same place, so that what one caller sends
 * would change how another's is read (https://github.com/nodejs/node/issues/63785).
 */
export function valueOfJson(text: string): unknown {
  return new Reader(text, Number).value();
}

/** The same, with what `numberOf` makes of each number as it is written. */
export function valueOfJsonWith(text: string, numberOf: (written: string) => unknown): unknown {
  return new Reader(text, numberOf).value();
}

const space = ' \n\r\t';

/** Trusts the syntax, and that no key is `__proto__`. As deep as the text, so that has to be bounded. */
class Reader {
  readonly #text: string;
  readonly #numberOf: (written: string) => unknown;
  #at = 0;

  constructor(text: string, numberOf: (written: string) => unknown) {
    this.#text = text;
    this.#numberOf = numberOf;
  }

  value(): unknown {
    const first = this.#next();
    if (first === '{') return this.#object();
    if (first === '[') return this.#array();
    return first === '"' ? this.#string() : this.#literal();
  }

  #object(): unknown {
    const object: Record<string, unknown> = {};
    this.#at++;
    while (this.#next() !== '}') {
      const key = this.#string();
      this.#next();
      this.#at++;
      object[key] = this.value();
      if (this.#next() === ',') this.#at++;
    }
    this.#at++;
    return object;
  }

  #array(): unknown {
    const array: unknown[] = [];
    this.#at++;
    while (this.#next() !== ']') {
      array.push(this.value());
      if (this.#next() === ',') this.#at++;
    }
    this.#at++;
    return array;
  }

  #string(): string {
    const start = this.#at;
    for (let end = start + 1; ; end++) {
      end = this.#text.indexOf('"', end);
      let slashes = 0;
      while (this.#text[end - 1 - slashes] === '\\') slashes++;
      if (slashes % 2 === 1) continue;
      this.#at = end + 1;
      return JSON.parse(this.#text.slice(start, end + 1)) as string;
    }
  }

  /** A number, `true`, `false` or `null`. */
  #literal(): unknown {
    const start = this.#at;
    while (!`${space},]}`.includes(this.#text[this.#at] ?? '}')) this.#at++;
    const written = this.#text.slice(start, this.#at);
    return /^[-\d]/.test(written) ? this.#numberOf(written) : JSON.parse(written);
  }

  /** The next character that isn't white space. */
  #next(): string | undefined {
    while (space.includes(this.#text[this.#at] ?? '}')) this.#at++;
    return this.#text[this.#at];
  }
}
