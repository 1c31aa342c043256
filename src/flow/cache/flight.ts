import type { ChatEvents } from '../../core/chat.ts';
import { isUsageOnly } from '../../core/chat.ts';
import { MizanError } from '../../core/errors.ts';
import type { AnswerFacts, CachedAnswer } from '../../core/response-cache.ts';
import { answer } from '../attempts/answer.ts';
import type { Answered, AnswerOrder } from '../attempts/order.ts';
import type { AnswerHead, AnswerSink } from '../call.ts';
import { splitAt } from './replay.ts';
import { Retold } from './retold.ts';
import type { Part } from './storable.ts';

/** What came of a flight. */
export type Landing =
  /** The upstream was asked. */
  | {
      readonly answered: Answered;
      readonly parts: readonly Part[];
      /** Whether everything that was said is in the parts. */
      readonly isWhole: boolean;
    }
  /** Somebody else had it, or got it meanwhile. */
  | Kept
  /** Another process' stream, part by part. */
  | { readonly told: Told; readonly parts: readonly Part[]; readonly isWhole: boolean }
  /** It never came to an attempt. */
  | { readonly thrown: Error };

/** An answer that another process has made. */
export interface Kept {
  readonly kept: CachedAnswer;
  readonly how: 'hit' | 'stale' | 'coalesced';
}

/** How another process' stream ended. */
export type Told =
  | { readonly facts: AnswerFacts; readonly isKept: boolean; readonly resumed: number }
  | { readonly error: MizanError };

/** What was found in other processes. */
export type Found = Kept | Told;

/** A caller to whom the stream goes. */
export interface StreamListener {
  /** The number of the next part that it wants. */
  readonly next: number;
  /** Whether it is in another process. */
  readonly isElsewhere: boolean;
  /** There are more parts, or there will be none any more. */
  wake(): void;
  /** It gets no more of them: the others have waited for it long enough. */
  cut(): void;
}

/** For how long everybody waits for those who are too far behind, in ms; and what of that comes back with time. */
const patience = { ms: 2000, regained: 0.1 };

/**
 * Where the answer comes from, if not from the upstream; until nobody waits any more. What comes in parts goes to the
 * sink; `cut` where the last of them are missing.
 */
export type Source = (flight: {
  readonly signal: AbortSignal;
  readonly sink: AnswerSink;
  readonly wantsParts: () => boolean;
  /** An answer that is too old, for where no other can be had. */
  readonly hasOld: (old: CachedAnswer) => void;
}) => Promise<Found | 'cut' | null>;

/**
 * One upstream call for all who ask the same at the same time. It goes on for as long as anybody waits for it, whoever
 * began it, and what it says is kept from its start for those who come later, up to a limit: from there on nobody can
 * join any more, and whoever is further behind than that is waited for, but not for long where others could go on.
 */
export class Flight {
  readonly isStream: boolean;
  readonly landed: Promise<Landing>;
  readonly #order: AnswerOrder;
  readonly #abort = new AbortController();
  readonly #limit: number;
  readonly #streaming = new Set<StreamListener>();
  readonly #events: FlightEvents;
  #waiting = 0;
  /** How many of them are in other processes. */
  #elsewhere = 0;
  #parts: Part[] = [];
  /** Parts that were let go of, since everybody has had them. */
  #dropped = 0;
  #bytes = 0;
  #old: CachedAnswer | undefined;
  #head: AnswerHead | null = null;
  #isTold = false;
  #isOver = false;
  #isOpen = true;
  #drained: (() => void) | null = null;
  /** What is left of everybody's patience with those who are too far behind, in ms. */
  #patienceMs = patience.ms;
  #waitingSince = 0;
  #waitedUntil = performance.now();
  #losingPatience: NodeJS.Timeout | null = null;

  /**
   * @param order Of who began it.
   * @param limit Up to how much is kept for those who come later, in bytes.
   * @param source Where else to look first; `null` for nowhere.
   */
  constructor(order: AnswerOrder, limit: number, events: FlightEvents, source: Source | null = null) {
    this.isStream = order.chat.stream;
    this.#limit = limit;
    this.#events = events;
    const { call, chat } = order;
    this.#order = {
      ...order,
      call: { ...call, signal: this.#abort.signal, sink: this.#sink() },
      chat: { ...chat, wantsUsage: chat.stream || chat.wantsUsage },
    };
    this.landed = this.#fly(source);
  }

  /** Whether somebody can still join. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Of the answer that is coming; `null` before anything came. */
  get head(): AnswerHead | null {
    return this.#head;
  }

  /** Whether the parts are another process'. */
  get isTold(): boolean {
    return this.#isTold;
  }

  /** An answer that was found and is too old. */
  get old(): CachedAnswer | undefined {
    return this.#old;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The part of that number; `undefined` where it isn't there yet. */
  part(number: number): Part | undefined {
    return this.#parts[number - this.#dropped];
  }

  /** Somebody waits for the end of it. */
  enter(listener: StreamListener | null): void {
    this.#waiting++;
    if (listener?.isElsewhere === true) this.#elsewhere++;
    if (listener !== null) this.#streaming.add(listener);
  }

  /** @param reason Where nobody else waits, the call ends with it; here alone, where this process is ending. */
  leave(listener: StreamListener | null, reason: unknown): void {
    this.#waiting--;
    if (listener?.isElsewhere === true) this.#elsewhere--;
    if (listener !== null) this.#streaming.delete(listener);
    if (this.#isOver) this.#letGo();
    const isEnding = reason instanceof MizanError && reason.code === 'shutting_down';
    if (isEnding && this.#waiting === this.#elsewhere) this.#end(reason);
    else if (this.#waiting > 0) this.took();
    else if (!this.#isOver) {
      const looking = this.#events.deserted();
      if (looking === null) this.#end(reason);
      else void looking.then(() => this.#waiting === 0 && this.#end(reason));
    }
  }

  #end(reason: unknown): void {
    if (this.#isOver) return;
    this.#close();
    this.#abort.abort(reason);
  }

  /** A listener has taken what there was: what nobody needs any more goes, and more may come. */
  took(): void {
    if (this.#isOpen || this.#isOver || this.#drained === null) return;
    this.#trim();
    if (this.#bytes > this.#limit) this.#bePatient();
    else this.#goOn();
  }

  #goOn(): void {
    this.#stopWaiting();
    const drained = this.#drained;
    this.#drained = null;
    drained?.();
  }

  /** Whoever has had everything waits for those who are too far behind. Where there is nobody, they are no trouble. */
  #bePatient(): void {
    if (this.#losingPatience !== null) return;
    const end = this.#dropped + this.#parts.length;
    if (![...this.#streaming].some(({ next }) => next >= end && next !== Infinity)) return;
    this.#waitingSince = performance.now();
    const regained = (this.#waitingSince - this.#waitedUntil) * patience.regained;
    this.#patienceMs = Math.min(patience.ms, this.#patienceMs + regained);
    // Another process' answer goes on whether it is heard or not.
    this.#losingPatience = setTimeout(() => this.#losePatience(), this.#isTold ? 0 : this.#patienceMs);
  }

  #stopWaiting(): void {
    if (this.#losingPatience === null) return;
    clearTimeout(this.#losingPatience);
    this.#losingPatience = null;
    this.#waitedUntil = performance.now();
    this.#patienceMs = Math.max(0, this.#patienceMs - (this.#waitedUntil - this.#waitingSince));
  }

  /** The slowest are left behind, until the others can go on. */
  #losePatience(): void {
    this.#stopWaiting();
    const bySpeed = [...this.#streaming].toSorted((one, other) => one.next - other.next);
    for (const slowest of bySpeed) {
      if (this.#bytes <= this.#limit) break;
      this.#streaming.delete(slowest);
      slowest.cut();
      this.#trim();
    }
    this.#goOn();
  }

  async #fly(source: Source | null): Promise<Landing> {
    let landing: Landing;
    try {
      landing = await this.#land(source);
    } catch (thrown) {
      landing = { thrown: thrown instanceof Error ? thrown : new Error(String(thrown)) };
    }
    this.#isOver = true;
    this.#stopWaiting();
    this.#events.landed(landing);
    this.#close();
    for (const listener of this.#streaming) listener.wake();
    this.#letGo();
    return landing;
  }

  async #land(source: Source | null): Promise<Landing> {
    if (source === null) return this.#ask();
    const wantsParts = (): boolean => this.isStream || this.#streaming.size > 0;
    const hasOld = (old: CachedAnswer): void => {
      this.#old = old;
    };
    const found = await source({ signal: this.#abort.signal, sink: this.#toldSink(), wantsParts, hasOld });
    if (found === null) return this.#ask();
    if (found === 'cut') return this.#tellRest();
    return 'kept' in found ? found : { told: found, parts: this.#parts, isWhole: this.#isOpen };
  }

  /**
   * The rest of a stream that another process could not tell to its end: the upstream is asked the same, and where it
   * says the same, it goes on from there.
   */
  async #tellRest(): Promise<Landing> {
    const retold = new Retold(this.#dropped > 0 ? null : this.#parts, this.#sink());
    if (!this.isStream || !retold.canBe) return { told: { error: Retold.error() }, parts: this.#parts, isWhole: false };
    const { call } = this.#order;
    const signal = AbortSignal.any([this.#abort.signal, retold.signal]);
    const answered = await answer({ ...this.#order, call: { ...call, signal, sink: retold } });
    const error = retold.signal.aborted ? Retold.error() : answered.error;
    return { answered: { ...answered, error, hasBegun: true }, parts: this.#parts, isWhole: false };
  }

  async #ask(): Promise<Landing> {
    const answered = await answer(this.#order);
    return { answered, parts: this.#parts, isWhole: this.#isOpen };
  }

  #sink(): AnswerSink {
    return {
      begin: (head) => {
        this.#head = head;
      },
      write: (events, drained) => this.#take(events, drained),
    };
  }

  #toldSink(): AnswerSink {
    const sink = this.#sink();
    return {
      begin: (head) => {
        this.#isTold = true;
        sink.begin(head);
      },
      write: (events, drained) => sink.write(events, drained),
    };
  }

  #take(events: ChatEvents, drained: () => void): boolean {
    for (const part of partsOf(events)) {
      this.#parts.push(part);
      this.#count(part.events.bytes.length);
    }
    for (const listener of this.#streaming) listener.wake();
    if (this.#bytes <= this.#limit) return true;
    if (this.#isOpen) this.#close();
    this.#trim();
    if (this.#bytes <= this.#limit) return true;
    this.#drained = drained;
    this.#bePatient();
    return false;
  }

  /** Nobody can join any more. */
  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#events.closed();
  }

  #trim(): void {
    let needed = this.#dropped + this.#parts.length;
    for (const { next } of this.#streaming) needed = Math.min(needed, next);
    for (const { events } of this.#parts.splice(0, needed - this.#dropped)) this.#count(-events.bytes.length);
    this.#dropped = needed;
  }

  /** Nobody has to read anything of it any more. */
  #letGo(): void {
    if (this.#streaming.size === 0) this.#count(-this.#bytes);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#events.collected(bytes);
  }
}

/** What happens to a flight. */
export interface FlightEvents {
  landed(landing: Landing): void;
  /** Nobody waits for it here. Resolves when it is known whether anybody does elsewhere; `null` where nobody can. */
  deserted(): Promise<void> | null;
  /** Nobody can join it any more. */
  closed(): void;
  /** It keeps more than before, or less; in bytes. */
  collected(bytes: number): void;
}

function partsOf(events: ChatEvents): Part[] {
  const { chunks } = events;
  if (!chunks.some(isUsageOnly)) return [{ events, isUsage: false }];
  if (chunks.length === 1) return [{ events, isUsage: true }];
  return splitAt(events, isUsageOnly).map(({ events: piece, isIt }) => ({ events: piece, isUsage: isIt }));
}
