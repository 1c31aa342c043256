import type { Clock } from '../../core/clock.ts';
import type { Priority } from '../../core/priority.ts';
import type { CrowdSettings } from '../queue/crowd.ts';
import { Crowd } from '../queue/crowd.ts';
import type { Standing } from '../queue/fair-line.ts';
import { FairLine } from '../queue/fair-line.ts';
import type { Claim, Refusal } from './claim.ts';
import type { BudgetMeter, LimitMeter } from './meter.ts';

export interface QueueSettings extends CrowdSettings {
  /** How long a request may wait, in ms. */
  readonly waitMs: number;
}

/** How waiting ended: let in, out of time, its caller gone, no place in line, or refused by what isn't waited for. */
export const waitEnds = ['admitted', 'late', 'left', 'full', 'refused'] as const;

export type WaitEnd = (typeof waitEnds)[number];

/** Told of everyone who waited, or would have. */
export type Waited = (priority: Priority, end: WaitEnd, waitedMs: number) => void;

/** Who wants to wait. */
export interface Waiting extends Standing {
  /** What it was refused by. */
  readonly refusal: Refusal;
  /** How long it may wait, in ms. */
  readonly limitMs: number;
  readonly signal: AbortSignal;
  /** Counts everything it needs, or says what is in the way. */
  readonly take: () => Refusal | null | Promise<Refusal | null>;
  /** Takes back what `take` counted, for whoever was gone by then. */
  readonly giveBack: () => void;
}

/** What came of it. */
export interface WaitResult {
  /** `null` where everything is counted. */
  readonly refusal: Refusal | null;
  readonly end: WaitEnd;
  readonly waitedMs: number;
}

interface Waiter extends Waiting {
  refusal: Refusal;
  line: Line | null;
  /** On the monotonic clock. */
  readonly until: number;
  /** Ends it, once. */
  end(end: WaitEnd, refusal: Refusal | null): void;
}

type Kind = Claim['kind'];

/** Those who wait for one thing of one limit. */
class Line extends FairLine<Waiter> {
  readonly meter: LimitMeter | BudgetMeter;
  readonly kind: Kind;
  isBusy = false;
  isCalled = false;
  timer: NodeJS.Timeout | undefined;

  constructor(meter: LimitMeter | BudgetMeter, kind: Kind, settings: QueueSettings) {
    super(settings.weights);
    this.meter = meter;
    this.kind = kind;
  }
}

/** A limit may have been changed, or another machine may have made room: that is looked for so often, in ms. */
const lookAgainMs = 1000;
const askAgainMs = 100;

/**
 * Requests that wait for room in a limit, in place of being refused. There is a line for each thing that is in the way,
 * so that nobody waits behind others for what only those need; whoever is let by in one may have to join the next. What
 * somebody waits for is not to be had by those who come later, even where there is room again.
 */
export class Queue {
  readonly #settings: QueueSettings;
  readonly #clock: Clock;
  readonly #told: Waited;
  readonly #isShared: boolean;
  readonly #lines = new Map<LimitMeter | BudgetMeter, Map<Kind, Line>>();
  readonly #crowd: Crowd<Waiter>;

  /** @param of.isShared Whether other machines may make room unheard. */
  constructor(
    settings: QueueSettings,
    of: { readonly clock: Clock; readonly told: Waited; readonly isShared: boolean },
  ) {
    this.#settings = settings;
    this.#clock = of.clock;
    this.#told = of.told;
    this.#isShared = of.isShared;
    this.#crowd = new Crowd(settings);
  }

  get waitMs(): number {
    return this.#settings.waitMs;
  }

  get size(): number {
    return this.#crowd.size;
  }

  count(priority: Priority): number {
    return this.#crowd.count(priority);
  }

  /** What others wait for already, of what somebody who comes now would need. */
  ahead(claims: readonly Claim[]): Refusal | null {
    if (this.#lines.size === 0) return null;
    const claim = claims.find(({ meter, kind }) => this.#lines.get(meter)?.has(kind));
    if (claim === undefined) return null;
    const first = this.#lines.get(claim.meter)?.get(claim.kind)?.first();
    return { claim, waitMs: first?.refusal.waitMs ?? lookAgainMs };
  }

  /** Waits until everything is counted, or waiting has no more sense. */
  wait(waiting: Waiting): Promise<WaitResult> {
    const { signal, limitMs, priority } = waiting;
    if (!helps(waiting.refusal, limitMs)) {
      return Promise.resolve({ refusal: waiting.refusal, end: 'refused', waitedMs: 0 });
    }
    return new Promise((resolve) => {
      const since = this.#clock.monotonic();
      const waiter: Waiter = {
        ...waiting,
        line: null,
        until: since + limitMs,
        end: (end, refusal) => {
          clearTimeout(timer);
          signal.removeEventListener('abort', onAbort);
          this.#crowd.leave(waiter);
          const waitedMs = this.#clock.monotonic() - since;
          this.#told(priority, end, waitedMs);
          resolve({ refusal, end, waitedMs });
        },
      };
      const leave = (end: WaitEnd): void => {
        const { line } = waiter;
        waiter.line = null;
        line?.remove(waiter);
        waiter.end(end, waiter.refusal);
        // The room that it was the first to wait for may do for the next.
        if (line !== null) this.#pump(line);
      };
      const onAbort = (): void => leave('left');
      const timer = setTimeout(leave, limitMs, 'late');
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) return leave('left');
      const out = this.#crowd.enter(waiter);
      if (out === waiter) return leave('full');
      if (out !== null) this.#dismiss(out);
      this.#join(waiter);
    });
  }

  /** There may be room again in what is behind these claims. */
  settled(claims: readonly Claim[]): void {
    if (this.#lines.size === 0) return;
    for (const { meter, kind } of claims) {
      const line = this.#lines.get(meter)?.get(kind);
      if (line !== undefined) this.#pump(line);
    }
  }

  #dismiss(waiter: Waiter): void {
    const { line } = waiter;
    waiter.line = null;
    line?.remove(waiter);
    waiter.end('full', waiter.refusal);
    if (line !== null) this.#pump(line);
  }

  /** To the end of the line before what is in its way. */
  #join(waiter: Waiter): void {
    const { meter, kind } = waiter.refusal.claim;
    let byKind = this.#lines.get(meter);
    if (byKind === undefined) this.#lines.set(meter, (byKind = new Map<Kind, Line>()));
    let line = byKind.get(kind);
    if (line === undefined) byKind.set(kind, (line = new Line(meter, kind, this.#settings)));
    waiter.line = line;
    line.add(waiter);
    if (line.timer === undefined) this.#lookLater(line, waiter.refusal.waitMs);
  }

  /** Lets in whoever can be, in their order, as long as the first one can. */
  #pump(line: Line): void {
    line.isCalled = true;
    if (!line.isBusy) void this.#work(line);
  }

  /** At once where nobody else has to be asked. */
  async #work(line: Line): Promise<void> {
    line.isBusy = true;
    for (let first = line.first(); line.isCalled && first !== undefined; first = line.first()) {
      line.isCalled = false;
      const taken = first.take();
      const refusal = taken instanceof Promise ? await taken : taken;
      if (this.#goOn(line, first, refusal)) line.isCalled = true;
    }
    line.isBusy = false;
    if (line.size === 0) this.#close(line);
  }

  /** What becomes of the first one; whether the next one may try. */
  #goOn(line: Line, first: Waiter, refusal: Refusal | null): boolean {
    if (first.line !== line) {
      if (refusal === null) first.giveBack();
      return true;
    }
    if (refusal === null) {
      first.line = null;
      line.served(first);
      first.end('admitted', null);
      return true;
    }
    first.refusal = refusal;
    const isStill = refusal.claim.meter === line.meter && refusal.claim.kind === line.kind;
    if (isStill && helps(refusal, Infinity)) {
      this.#lookLater(line, refusal.waitMs);
      return false;
    }
    first.line = null;
    line.remove(first);
    if (helps(refusal, first.until - this.#clock.monotonic())) this.#join(first);
    else first.end('refused', refusal);
    return true;
  }

  #lookLater(line: Line, waitMs: number | null): void {
    clearTimeout(line.timer);
    const most = this.#isShared ? askAgainMs : lookAgainMs;
    const isUnknown = line.kind === 'inFlight' || waitMs === null;
    const inMs = isUnknown ? most : Math.min(Math.max(1, Math.ceil(waitMs)), lookAgainMs);
    line.timer = setTimeout(() => this.#pump(line), inMs);
  }

  #close(line: Line): void {
    clearTimeout(line.timer);
    const byKind = this.#lines.get(line.meter);
    if (byKind?.get(line.kind) !== line) return;
    byKind.delete(line.kind);
    if (byKind.size === 0) this.#lines.delete(line.meter);
  }
}

/** Whether waiting so long can help. Money is not waited for. */
export function helps({ claim, waitMs, isSpent }: Refusal, limitMs: number): boolean {
  if (claim.kind === 'money' || isSpent === true) return false;
  // Nobody knows when one that is being answered ends.
  return claim.kind === 'inFlight' || (waitMs !== null && waitMs <= limitMs);
}
