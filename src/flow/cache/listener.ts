import type { AnswerHead, Call } from '../call.ts';
import type { Flight, StreamListener } from './flight.ts';

/** One caller's share of a flight that streams: it is given the parts from the start, as fast as it reads them. */
export class FlightListener implements StreamListener {
  readonly isElsewhere = false;
  /** Resolves when it has had everything, or has left. */
  readonly done: Promise<void>;
  readonly #flight: Flight;
  readonly #call: Call;
  readonly #wantsUsage: boolean;
  readonly #headOf: (head: AnswerHead) => AnswerHead;
  readonly #now: () => number;
  readonly #wasCut: () => void;
  readonly #resolve: () => void;
  #next = 0;
  #isFull = false;
  #hasBegun = false;
  #firstTokenAt: number | null = null;
  #isCut = false;
  #isDone = false;

  /** @param own What is different for this caller. */
  constructor(
    flight: Flight,
    call: Call,
    own: {
      readonly wantsUsage: boolean;
      readonly headOf: (head: AnswerHead) => AnswerHead;
      readonly now: () => number;
      /** Told that it was left behind, after whoever did that is done. */
      readonly wasCut: () => void;
    },
  ) {
    this.#flight = flight;
    this.#call = call;
    this.#wantsUsage = own.wantsUsage;
    this.#headOf = own.headOf;
    this.#now = own.now;
    this.#wasCut = own.wasCut;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.done = promise;
    this.#resolve = () => {
      this.#isDone = true;
      resolve();
    };
  }

  /** Whether it has had everything, or has left. */
  get isDone(): boolean {
    return this.#isDone;
  }

  get next(): number {
    return this.#next;
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** On the monotonic clock. */
  get firstTokenAt(): number | null {
    return this.#firstTokenAt;
  }

  wake(): void {
    const { signal } = this.#call;
    while (!this.#isFull && !signal.aborted && !this.#isCut) {
      const part = this.#flight.part(this.#next);
      if (part === undefined) {
        if (this.#flight.isOver) this.#resolve();
        return;
      }
      this.#next++;
      if (!part.isUsage || this.#wantsUsage) this.#write(part.events);
    }
    if (signal.aborted) this.#resolve();
  }

  /** The caller has gone. */
  left(): void {
    this.#resolve();
  }

  /** The others don't wait for it any more: it gets nothing else. */
  cut(): void {
    if (this.#isCut || this.#isDone) return;
    this.#isCut = true;
    queueMicrotask(this.#wasCut);
  }

  #write(events: Parameters<Call['sink']['write']>[0]): void {
    const { sink } = this.#call;
    if (!this.#hasBegun) {
      const { head } = this.#flight;
      if (head === null) return;
      this.#hasBegun = true;
      this.#firstTokenAt = this.#now();
      sink.begin(this.#headOf(head));
    }
    this.#isFull = !sink.write(events, this.#drained);
  }

  readonly #drained = (): void => {
    this.#isFull = false;
    this.wake();
    this.#flight.took();
  };
}
