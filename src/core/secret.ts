import { inspect } from 'node:util';

/**
 * A value that never leaves by accident: printing, logging, or serialising it shows `[secret]`.
 * Redaction is by this type, never by a pattern over text.
 */
export class Secret<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  /** The value itself. Call it where it is used, and keep what it returns no longer than that. */
  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}
