/** Bad answers in a row that open it, and good ones that close it again. */
const limits = { bad: 3, good: 2 };

/** Whether somebody is asked at all. Open: not, but for probes. */
export class Breaker {
  #state: 'open' | 'closed' = 'open';
  /** How many answers in a row spoke against the state. */
  #against = 0;

  /** At once, since the connection itself is gone. */
  open(): void {
    this.#state = 'open';
    this.#against = 0;
  }

  /**
   * Takes note of an answer.
   * @returns The state that follows from it.
   */
  noted(isGood: boolean): 'open' | 'closed' {
    const isOpen = this.#state === 'open';
    if (isGood !== isOpen) {
      this.#against = 0;
      return this.#state;
    }
    this.#against++;
    if (this.#against >= (isOpen ? limits.good : limits.bad)) {
      this.#state = isOpen ? 'closed' : 'open';
      this.#against = 0;
    }
    return this.#state;
  }
}
