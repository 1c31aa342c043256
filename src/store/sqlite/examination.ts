import { remedyFor } from './damage.ts';
import { findDamage } from './soundness.ts';
import type { Troubles } from './troubles.ts';

/** How long after the start the whole file is read once, to see that it is sound, in ms. */
const afterMs = 5000;

interface Listeners {
  readonly troubles: Troubles;
  /** Told in words, with what to do. */
  readonly unsound: (words: string) => void;
}

/** Reads a whole database once, soon after the start, and says what is wrong with it. */
export class Examination {
  readonly #file: string;
  readonly #listeners: Listeners;
  readonly #ending = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(file: string, listeners: Listeners) {
    this.#file = file;
    this.#listeners = listeners;
    this.#timer = setTimeout(() => void this.#look(), afterMs).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#ending.abort();
  }

  async #look(): Promise<void> {
    const { troubles, unsound } = this.#listeners;
    const what = 'The database is damaged';
    try {
      const damage = await findDamage(this.#file, this.#ending.signal);
      if (damage === null) return;
      const words = `${damage.replaceAll(/\s+/g, ' ')}. ${remedyFor(this.#file)}.`;
      unsound(`The database ${this.#file} is damaged: ${words}`);
      troubles.note('damage', what, new Error(words));
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
      troubles.note('damage', what, typeof cause === 'string' ? new Error(cause) : cause);
    }
  }
}
