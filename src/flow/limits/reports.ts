import type { Clock } from '../../core/clock.ts';
import type { Missed, OwnCount, SharedCounters } from '../../core/limit.ts';
import { picosPerNano } from '../../core/money.ts';
import { BudgetMeter, LimitMeter } from './meter.ts';

/** How often what was counted here is told, in ms: what was lost on the way is right again after that. */
export const reportMs = 1000;

/** How often a machine that counts nothing says that it is there, in ms: after 15 s it would be taken for dead. */
const idleMs = 4000;

/**
 * How long after the shared memory was empty there may be somebody who has not told it everything yet, in ms: once all
 * that were there before are there again, and where one of them doesn't come back.
 */
const telling = { backMs: 2 * reportMs + 500, goneMs: 15_000 };

/** Counts in one report; more are told one after the other. */
const atOnce = 200;

/** Every meter there is. */
export interface Every {
  readonly limits: Iterable<LimitMeter>;
  readonly budgets: Iterable<BudgetMeter>;
}

/** Tells the others what this machine has counted, and knows whether they have heard it all. */
export class Reports {
  readonly #shared: SharedCounters;
  readonly #clock: Clock;
  /** Those that have changed since they were told, or hold something. */
  readonly #touched = new Set<LimitMeter | BudgetMeter>();
  readonly #leastMachines: number;
  readonly #all: () => Every;
  /** Those that nobody asked for lately are reported in turn, so that what others pay is known of them too. */
  #turn: Iterator<BudgetMeter> | null = null;
  /** Until when the shared memory may lack what others have paid, on the monotonic clock. */
  #telling = -Infinity;
  /** Machines that were there before it was empty, while some are missing; 0 while none is. */
  #awaited = 0;
  /** As they were counted last. */
  #seen = 0;
  #sending: Promise<boolean> | null = null;
  /** How often the others had been lost when they were told last of all that is counted here. */
  #toldAfter = -1;
  /** The same, when the report was begun that is under way. */
  #sendingAfter = -1;
  #sentAt = -Infinity;

  /** @param machines How many there are at the least. */
  constructor(
    shared: SharedCounters,
    of: { readonly clock: Clock; readonly all: () => Every; readonly machines: number },
  ) {
    this.#shared = shared;
    this.#clock = of.clock;
    this.#all = of.all;
    this.#leastMachines = of.machines;
  }

  /** Has it told what it has counted. */
  touch(meter: LimitMeter | BudgetMeter): void {
    this.#touched.add(meter);
  }

  /** Takes note of how many machines there are. */
  count(machines: number): void {
    this.#seen = machines;
  }

  /** How many machines to share with where nobody can be asked. */
  get machines(): number {
    return Math.max(this.#seen, this.#leastMachines, this.#awaited);
  }

  /** Whether the shared memory knows of all machines that were there before it was empty. */
  get isWhole(): boolean {
    return this.#awaited === 0;
  }

  /** Whether the shared memory may still lack what others have paid. */
  get isTelling(): boolean {
    return this.#clock.monotonic() < this.#telling;
  }

  /**
   * Whether the others were told what is counted here since they were lost last, or are told of it before anything that
   * is asked now: what they know of this machine is put right while nothing of its own is under way.
   */
  get isTold(): boolean {
    const { losses } = this.#shared;
    return this.#toldAfter === losses || (this.#sending !== null && this.#sendingAfter === losses);
  }

  /** Whether there is anything to tell, or nothing was told for some time. */
  get isDue(): boolean {
    if (this.#touched.size > 0 || !this.isTold || !this.isWhole || this.isTelling) return true;
    if (this.#clock.monotonic() - this.#sentAt >= idleMs) return true;
    // Of budgets, what others pay is asked for as well.
    return this.#all().budgets[Symbol.iterator]().next().done !== true;
  }

  /** Says what was counted here. @returns Whether it was heard. */
  async send(): Promise<boolean> {
    if (this.#sending === null) {
      this.#sendingAfter = this.#shared.losses;
      this.#sentAt = this.#clock.monotonic();
      this.#sending = this.#sendAll().finally(() => {
        this.#sending = null;
      });
    }
    return this.#sending;
  }

  async #sendAll(): Promise<boolean> {
    if (!this.#shared.isThere) return false;
    const touched = [...new Set([...this.#touched, ...this.#inTurn()])];
    for (let i = 0; i < touched.length || i === 0; i += atOnce) {
      const answer = await this.#tell(touched.slice(i, i + atOnce));
      if (answer === null) return false;
      if (!answer.isNew) continue;
      if (!(await this.#tellAll())) return false;
    }
    const now = this.#clock.monotonic();
    if (this.#seen >= this.#awaited || now >= this.#telling) {
      this.#awaited = 0;
      this.#telling = Math.min(this.#telling, now + telling.backMs);
    }
    this.#toldAfter = this.#sendingAfter;
    return true;
  }

  async #tell(meters: readonly (LimitMeter | BudgetMeter)[]): Promise<{ readonly isNew: boolean } | null> {
    const now = this.#clock.now();
    const monotonic = this.#clock.monotonic();
    const counts: OwnCount[] = [];
    const missed: Missed[] = [];
    const told: BudgetMeter[] = [];
    const heard: (() => void)[] = [];
    const lost: (() => void)[] = [];
    for (const meter of meters) {
      if (!(meter instanceof BudgetMeter)) continue;
      const { start } = meter.period(now);
      told.push(meter);
      const held = meter.asking > 0 ? null : toNanos(meter.reserved);
      counts.push({ id: meter.id, kind: 'money', start, now: held, paid: toNanos(meter.used(now)) });
      const { unheard } = meter;
      heard.push(() => (meter.unheard -= unheard));
    }
    for (const meter of meters) {
      if (!(meter instanceof LimitMeter)) continue;
      counts.push({ id: meter.id, kind: 'inFlight', start: 0, now: meter.asking > 0 ? null : meter.inFlight, paid: 0 });
      for (const kind of ['requests', 'tokens'] as const) {
        for (const [age, amount] of meter.missed[kind]?.ages(monotonic) ?? [])
          missed.push({ id: meter.id, kind, age, amount });
      }
      const { missed: untold, unheard } = meter;
      const before = { ...untold };
      untold.requests = null;
      untold.tokens = null;
      lost.push(() => restore(meter, before, this.#clock.monotonic()));
      const then = { ...unheard };
      heard.push(() => {
        for (const kind of ['requests', 'tokens', 'inFlight'] as const) unheard[kind] -= then[kind];
      });
    }
    for (const meter of meters) {
      const isHolding = meter instanceof BudgetMeter ? meter.reserved > 0n : meter.inFlight > 0;
      if (!isHolding && meter.asking === 0) this.#touched.delete(meter);
    }
    const answer = await this.#shared.report({ counts, missed }, this.#isNew);
    if (answer === null) {
      for (const meter of meters) this.#touched.add(meter);
      for (const takeBack of lost) takeBack();
      return null;
    }
    for (const note of heard) note();
    this.count(answer.machines);
    const then = this.#clock.now();
    const isAll = !answer.isNew && !this.isTelling;
    for (const [i, meter] of told.entries()) meter.heard(nanos(answer.used[i] ?? 0), then, isAll);
    return answer;
  }

  /** What all have told is lost, and so is how many they were. */
  readonly #isNew = (): void => {
    this.#telling = this.#clock.monotonic() + telling.goneMs;
    this.#awaited = Math.max(this.#awaited, this.#seen);
  };

  /** Some of the budgets, others the next time. */
  *#inTurn(): Generator<BudgetMeter> {
    this.#turn ??= this.#all().budgets[Symbol.iterator]();
    for (let i = 0; i < atOnce; i++) {
      const { value, done } = this.#turn.next();
      if (done === true) {
        this.#turn = null;
        return;
      }
      yield value;
    }
  }

  /** Where the memory was empty: all that was let in during the last minute, and all that was paid. */
  async #tellAll(): Promise<boolean> {
    const budgets = [...this.#all().budgets];
    for (let i = 0; i < budgets.length; i += atOnce) {
      if ((await this.#tell(budgets.slice(i, i + atOnce))) === null) return false;
    }
    const monotonic = this.#clock.monotonic();
    const missed: Missed[] = [];
    for (const { id, requests, tokens } of this.#all().limits) {
      for (const [kind, window] of [
        ['requests', requests],
        ['tokens', tokens],
      ] as const) {
        for (const [age, amount] of window?.ages(monotonic) ?? []) missed.push({ id, kind, age, amount });
      }
    }
    for (let i = 0; i < missed.length; i += atOnce) {
      const answer = await this.#shared.report({ counts: [], missed: missed.slice(i, i + atOnce) }, this.#isNew);
      if (answer === null) return false;
    }
    return true;
  }
}

/** What nobody heard of is told again. */
function restore({ missed }: LimitMeter, before: LimitMeter['missed'], monotonic: number): void {
  for (const kind of ['requests', 'tokens'] as const) {
    const since = missed[kind];
    missed[kind] = before[kind] ?? since;
    if (since !== null && before[kind] !== null) before[kind].addAll(since, monotonic);
  }
}

/** Rounded up, so that what is told is never less than what is held or was paid. */
export function toNanos(picos: number | bigint): number {
  return Number((BigInt(picos) + picosPerNano - 1n) / picosPerNano);
}

export function nanos(told: number): bigint {
  return BigInt(Math.floor(told)) * picosPerNano;
}
