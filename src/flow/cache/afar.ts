import { MizanError } from '../../core/errors.ts';
import type { AnswerFacts, Audience, Teller } from '../../core/response-cache.ts';
import type { Flight, Landing, StreamListener } from './flight.ts';

/** How the answer ended, for those who listen in other processes. */
type Ending =
  | { readonly facts: AnswerFacts; readonly isKept: boolean; readonly resumed: number }
  | { readonly error: MizanError };

/**
 * Those who wait for a flight in other processes, all together: one listener more. It takes whatever there is at once,
 * so that nobody ever waits for it.
 */
export class Afar implements StreamListener, Audience {
  readonly isElsewhere = true;
  readonly #flight: Flight;
  readonly #teller: Teller;
  #next = 0;
  #isThere = false;
  #isTelling = false;
  #hasHead = false;

  constructor(flight: Flight, open: (audience: Audience) => Teller) {
    this.#flight = flight;
    this.#teller = open(this);
  }

  get next(): number {
    return this.#isTelling ? this.#next : Infinity;
  }

  /** Looks once more whether anybody waits. */
  look(): Promise<void> {
    return this.#teller.look();
  }

  changed(isThere: boolean, wantsParts: boolean): void {
    if (this.#flight.isOver) return;
    if (isThere !== this.#isThere) {
      this.#isThere = isThere;
      if (isThere) this.#flight.enter(this);
      else this.#flight.leave(this, new MizanError('client_closed', 'Nobody listens any more.'));
    }
    if (wantsParts && !this.#isTelling) this.#begin();
  }

  wake(): void {
    if (!this.#isTelling) return;
    for (let part = this.#flight.part(this.#next); part !== undefined; part = this.#flight.part(this.#next)) {
      this.#next++;
      const { bytes } = part.events;
      if (bytes.length === 0) continue;
      this.#sayHead();
      this.#teller.say({ kind: 'part', bytes, isUsage: part.isUsage });
    }
  }

  /** It is never behind. */
  cut(): void {}

  /** It is over; nothing is said where nobody has heard the beginning. */
  ended(ending: Ending): void {
    if (!this.#isTelling || !this.#flight.isStream) return;
    this.wake();
    if ('error' in ending) {
      const { code, message, status } = ending.error;
      // It was this process that left; the others ask for the rest themselves.
      const isLeft = code === 'client_closed' || code === 'shutting_down';
      this.#teller.say(isLeft ? { kind: 'untold' } : { kind: 'failed', code, message, status });
      return;
    }
    this.#sayHead();
    this.#teller.say({ kind: 'end', ...ending });
  }

  #begin(): void {
    this.#isTelling = true;
    if (!this.#flight.isStream) this.#teller.say({ kind: 'whole' });
    else if (this.#flight.isOpen) this.wake();
    else {
      this.#next = Infinity;
      this.#teller.say({ kind: 'untold' });
    }
  }

  #sayHead(): void {
    const { head } = this.#flight;
    if (this.#hasHead || head === null) return;
    this.#hasHead = true;
    const { model, instance, provider } = head;
    this.#teller.say({ kind: 'head', model: model ?? '', instance: instance ?? '', provider: provider ?? '' });
  }
}

/** Why an upstream call brought nothing that can be told; `null` where it did. */
export function errorOfLanding(landing: Landing): MizanError | null {
  if ('answered' in landing) return landing.answered.error;
  if (!('thrown' in landing)) return null;
  return landing.thrown instanceof MizanError ? landing.thrown : new MizanError('internal', 'It failed.');
}
