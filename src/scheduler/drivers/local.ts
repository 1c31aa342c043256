import type { Clock } from '../../core/clock.ts';
import type { JobRun } from '../../core/jobs.ts';
import type { Driver } from '../contract.ts';
import type { Engine } from '../engine.ts';

/** How often it is looked what others did, in ms; and the longest sleep, since clocks jump and timers don't. */
const lookMs = 1000;

/** Brings due times and runs to some process, which may be this one. */
export interface Carrier {
  /** How long what is due is left to it, in ms; 0 where it brings nothing at the moment. */
  patienceMs(): number;
  /** Sends the due times to come. */
  announce(): void;
  /** @returns Whether it took the run along. */
  carry(run: JobRun): boolean;
}

interface Settings {
  readonly clock: Clock;
  /** How long runs may take to finish when it stops, in ms. */
  readonly graceMs: number;
  readonly carrier?: Carrier;
}

/** Nothing is carried: what is due is begun here. */
const nobody: Carrier = { patienceMs: () => 0, announce: () => undefined, carry: () => false };

/** Everything in this process, over the store alone: good for one machine, or a few. */
export class LocalDriver implements Driver {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #carrier: Carrier;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #turn: Promise<void> | null = null;
  #isPoked = false;

  constructor(engine: Engine, { clock, graceMs, carrier = nobody }: Settings) {
    this.#engine = engine;
    this.#clock = clock;
    this.#graceMs = graceMs;
    this.#carrier = carrier;
    engine.onFree = () => this.poke();
  }

  async start(): Promise<void> {
    this.#take();
    await this.#turn;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#turn;
    await this.#engine.stop(this.#graceMs);
  }

  /** Something may be there to begin. */
  poke(): void {
    if (this.#isStopped) return;
    this.#isPoked = true;
    this.#take();
  }

  #take(): void {
    if (this.#turn !== null || this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#turn = this.#once().finally(() => {
      this.#turn = null;
      if (this.#isStopped) return;
      // Not `unref`: in a process that does nothing else, this is what it lives for.
      this.#timer = setTimeout(() => this.#take(), this.#wait());
    });
  }

  /** In ms. While the store is away, what is due doesn't make it ask more often. */
  #wait(): number {
    const look = Math.max(0, this.#lookedAt + lookMs - this.#clock.monotonic());
    if (this.#engine.isStoreAway) return lookMs;
    if (this.#isPoked) return 0;
    return Math.min(look, this.#engine.restMs(this.#carrier.patienceMs()));
  }

  async #once(): Promise<void> {
    const now = this.#clock.monotonic();
    const isLook = now - this.#lookedAt >= lookMs - 1 || this.#isPoked;
    this.#isPoked = false;
    let seen: readonly JobRun[] | undefined;
    if (isLook) {
      this.#lookedAt = now;
      seen = await this.#engine.look();
    }
    const isAny = await this.#engine.makeDue(this.#carrier.patienceMs());
    this.#carrier.announce();
    const isMore = this.#engine.hasComeUp(this.#carrier.patienceMs());
    // What was made meanwhile was not seen yet.
    if (isAny || isMore || isLook) {
      await this.#engine.sweep((run) => this.#carrier.carry(run), isAny || isMore ? undefined : seen);
    }
  }
}
