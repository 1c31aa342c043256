import { MizanError } from '../../core/errors.ts';

/** The calls that are under way, to end them all when Mizan can't wait for them any longer. */
export class RunningCalls {
  readonly #aborts = new Set<AbortController>();
  #isCut = false;

  /** A call begins. What is done for it follows the signal; after `cut()` there is nothing to be done. */
  begin(): AbortController {
    const abort = new AbortController();
    if (this.#isCut) abort.abort(left());
    else this.#aborts.add(abort);
    return abort;
  }

  ended(abort: AbortController): void {
    this.#aborts.delete(abort);
  }

  /** Every upstream is left and every caller told that it was Mizan that ended, not the caller: `shutting_down`. */
  cut(): void {
    this.#isCut = true;
    for (const abort of this.#aborts) abort.abort(left());
  }
}

function left(): MizanError {
  return new MizanError('shutting_down', 'This process ended before the answer was complete; send the request again.', {
    retryAfterMs: 1000,
  });
}
