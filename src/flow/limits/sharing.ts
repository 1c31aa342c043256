import type { Clock } from '../../core/clock.ts';
import type { Missed, OwnCount, SharedChange, SharedClaim, SharedCounters, SharedVerdict } from '../../core/limit.ts';
import { undone } from '../../core/limit.ts';
import { picosPerNano } from '../../core/money.ts';
import type { Used } from './account.ts';
import type { Claim, Refusal } from './claim.ts';
import { count, limitOf, moneyWaitMs, narrower, ownUse, refusalByShare, refusalUnheard } from './claim.ts';
import { BudgetMeter, LimitMeter } from './meter.ts';

/** How often what was counted here is told, in ms: what was lost on the way is right again after that. */
const reportMs = 1000;

/** How long a request waits for the others' word, in ms, however many questions that takes. */
const patienceMs = 25;

/**
 * How long after the shared memory was empty there may be somebody who has not told it everything yet, in ms: once all
 * that were there before are there again, and where one of them doesn't come back.
 */
const telling = { backMs: 2 * reportMs + 500, goneMs: 15_000 };

const askAgainMs = 60_000;

/** Counts in one report; more are told one after the other. */
const atOnce = 200;

interface Meters {
  readonly limits: Iterable<LimitMeter>;
  readonly budgets: Iterable<BudgetMeter>;
}

/** Kept by several machines: what one lets in, all count. */
export class Sharing {
  readonly #shared: SharedCounters;
  readonly #clock: Clock;
  /** Those that have changed since they were told, or hold something. */
  readonly #touched = new Set<LimitMeter | BudgetMeter>();
  readonly #leastMachines: number;
  readonly #all: () => Meters;
  /** Those that nobody asked for lately are reported in turn, so that what others pay is known of them too. */
  #turn: Iterator<BudgetMeter> | null = null;
  /** Until when the shared memory may lack what others have paid, on the monotonic clock. */
  #telling = -Infinity;
  /** Machines that were there before it was empty, while some are missing; 0 while none is. */
  #awaited = 0;
  /** As they were counted last. */
  #seen = 0;
  /** The same, or as many as there are at the least. */
  #machines: number;
  #reporting: NodeJS.Timeout | null = null;
  #isReporting: Promise<boolean> | null = null;
  #isByShare = false;

  /**
   * @param all Every meter. @param machines How many there are at the least, for when none can be asked.
   */
  constructor(
    shared: SharedCounters,
    of: { readonly clock: Clock; readonly all: () => Meters; readonly machines: number },
  ) {
    this.#shared = shared;
    this.#clock = of.clock;
    this.#all = of.all;
    this.#leastMachines = of.machines;
    this.#machines = of.machines;
  }

  /** Begins to tell the others, every second. */
  start(): void {
    void this.report();
    this.#reporting = setInterval(() => void this.report(), reportMs).unref();
  }

  stop(): void {
    if (this.#reporting !== null) clearInterval(this.#reporting);
  }

  /** Whether this machine keeps to its share, since it can't ask the others. */
  get isByShare(): boolean {
    return this.#isByShare || !this.#shared.isThere;
  }

  /** Counts all claims or none. */
  async take(claims: readonly Claim[]): Promise<Refusal | null> {
    if (claims.length === 0) return null;
    const known = this.#refusalByKnown(claims);
    if (known !== null) return known;
    const verdict = await this.#verdict(claims);
    if (verdict === null) return this.#isWhole ? this.#takeUnheard(claims) : this.#takeByShare(claims);
    if (!this.#isWhole) {
      // It was asked before the memory was known to lack what others have told it.
      this.#giveBack(claims, verdict);
      return this.#takeByShare(claims);
    }
    this.#isByShare = false;
    this.#count(verdict.machines);
    const monotonic = this.#clock.monotonic();
    const now = this.#clock.now();
    this.#hear(claims, verdict);
    if (verdict.refused.length === 0) count(claims, monotonic);
    let refusal: Refusal | null = null;
    for (const { index, waitMs } of verdict.refused) {
      const claim = claims[index];
      if (claim === undefined) continue;
      refusal = narrower(refusal, { claim, waitMs: claim.kind === 'money' ? soon(claim, now) : waitMs });
    }
    return refusal;
  }

  /** What this machine has paid and holds itself is more than it is not, whatever the shared memory has forgotten. */
  #refusalByKnown(claims: readonly Claim[]): Refusal | null {
    const now = this.#clock.now();
    const isTelling = this.#clock.monotonic() < this.#telling;
    let refusal: Refusal | null = null;
    for (const claim of claims) {
      if (claim.kind !== 'money') continue;
      const { meter, amount } = claim;
      const fits = isTelling ? meter.fitsKnown(amount, now) : BigInt(amount) <= meter.left(now);
      if (!fits) refusal = narrower(refusal, { claim, waitMs: soon(claim, now) });
    }
    return refusal;
  }

  #giveBack(claims: readonly Claim[], { second, refused }: SharedVerdict): void {
    if (refused.length > 0) return;
    const now = this.#clock.now();
    const counted = claims.map((claim) => sharedClaim(claim, now));
    this.#shared.change(undone(counted, second));
  }

  #hear(claims: readonly Claim[], verdict: SharedVerdict): void {
    const monotonic = this.#clock.monotonic();
    const now = this.#clock.now();
    for (const [i, claim] of claims.entries()) {
      claim.seen = verdict.used[i] ?? 0;
      claim.second = verdict.second;
      this.#touched.add(claim.meter);
      if (claim.kind === 'money') claim.meter.heard(nanos(claim.seen), now, monotonic >= this.#telling);
      else {
        claim.meter.unheard[claim.kind] = 0;
        if (claim.kind === 'inFlight') continue;
        claim.meter.heard(claim.kind, monotonic, claim.seen - ownUse(claim, monotonic));
      }
    }
  }

  /** Whether what the shared memory says is what all have told it. */
  get #isWhole(): boolean {
    return this.#shared.isThere && this.#awaited === 0;
  }

  /** Of all together, no longer than one answer may take. */
  async #verdict(claims: readonly Claim[]): Promise<SharedVerdict | null> {
    if (!this.#isWhole) return null;
    const deadline = this.#clock.monotonic() + patienceMs;
    const left = (): number => Math.max(0, deadline - this.#clock.monotonic());
    const now = this.#clock.now();
    const asked = claims.map((claim) => sharedClaim(claim, now));
    let verdict = await this.#ask(claims, asked, patienceMs);
    if (verdict === 'unknown' && (await soonEnough(this.report(), left()))) {
      const again = this.#isWhole && this.#refusalByKnown(claims) === null;
      verdict = again ? await this.#ask(claims, asked, left()) : null;
    }
    return verdict === 'unknown' ? null : verdict;
  }

  /** While something is asked, what the others know of these meters is not corrected. */
  #ask(claims: readonly Claim[], asked: readonly SharedClaim[], waitMs: number): ReturnType<SharedCounters['take']> {
    for (const { meter } of claims) meter.asking++;
    const over = (): void => {
      // Whoever asked counts what was met first.
      setImmediate(() => {
        for (const { meter } of claims) meter.asking--;
      });
    };
    return this.#shared.take(asked, over, waitMs);
  }

  /** One answer that was late is no reason yet to keep to a share. */
  #takeUnheard(claims: readonly Claim[]): Refusal | null {
    const monotonic = this.#clock.monotonic();
    const refusal = refusalUnheard(claims, monotonic, this.#clock.now());
    if (refusal !== null) return refusal;
    this.#countAlone(claims, monotonic);
    for (const { kind, meter, amount } of claims) {
      if (kind === 'money') meter.unheard += BigInt(amount);
      else meter.unheard[kind] += amount;
    }
    return null;
  }

  #countAlone(claims: readonly Claim[], monotonic: number): void {
    count(claims, monotonic);
    for (const { kind, meter, amount } of claims) {
      this.#touched.add(meter);
      if (kind === 'requests' || kind === 'tokens') meter.miss(kind, monotonic, amount);
    }
  }

  #takeByShare(claims: readonly Claim[]): Refusal | null {
    this.#isByShare = true;
    const machines = Math.max(this.#machines, this.#awaited);
    const monotonic = this.#clock.monotonic();
    const refusal = refusalByShare(claims, { monotonic, now: this.#clock.now(), machines });
    if (refusal === null) this.#countAlone(claims, monotonic);
    return refusal;
  }

  /** Tells of claims that have ended. Nobody waits for it. @param at When they were counted, on the monotonic clock. */
  ended(claims: readonly Claim[], at: number, { tokens, cost }: Used): void {
    const changes: SharedChange[] = [];
    for (const claim of claims) {
      const { kind, meter, second } = claim;
      this.#touched.add(meter);
      if ((kind === 'tokens' || kind === 'requests') && second === undefined) {
        const used = kind === 'tokens' ? tokens : 0;
        meter.missed[kind]?.adjust(at, this.#clock.monotonic(), used - claim.amount);
        continue;
      }
      // What was never counted by the others is not to be given back by them either.
      const isCounted = second !== undefined;
      const held = kind === 'tokens' ? claim.amount - tokens : kind === 'money' ? toNanos(claim.amount) : claim.amount;
      const back = isCounted ? held : 0;
      const start = kind === 'money' ? claim.start : 0;
      const paid = kind === 'money' ? toNanos(cost) : 0;
      changes.push({ id: meter.id, kind, start, second: second ?? 0, back, paid });
    }
    this.#shared.change(changes);
  }

  /** Says what was counted here. @returns Whether it was heard. */
  async report(): Promise<boolean> {
    this.#isReporting ??= this.#report().finally(() => {
      this.#isReporting = null;
    });
    return this.#isReporting;
  }

  async #report(): Promise<boolean> {
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
    this.#isByShare = false;
    return true;
  }

  async #tell(meters: readonly (LimitMeter | BudgetMeter)[]): Promise<{ readonly isNew: boolean } | null> {
    const now = this.#clock.now();
    const monotonic = this.#clock.monotonic();
    const counts: OwnCount[] = [];
    const missed: Missed[] = [];
    const told: BudgetMeter[] = [];
    const windows: LimitMeter['missed'][] = [];
    for (const meter of meters) {
      if (meter instanceof BudgetMeter) {
        const { start } = meter.period(now);
        told.push(meter);
        const held = meter.asking > 0 ? null : toNanos(meter.reserved);
        counts.push({
          id: meter.id,
          kind: 'money',
          start,
          now: held,
          paid: toNanos(meter.used(now)),
        });
      }
    }
    for (const meter of meters) {
      if (!(meter instanceof LimitMeter)) continue;
      counts.push({ id: meter.id, kind: 'inFlight', start: 0, now: meter.asking > 0 ? null : meter.inFlight, paid: 0 });
      for (const kind of ['requests', 'tokens'] as const) {
        for (const [age, amount] of meter.missed[kind]?.ages(monotonic) ?? [])
          missed.push({ id: meter.id, kind, age, amount });
      }
      windows.push({ ...meter.missed });
      meter.missed.requests = null;
      meter.missed.tokens = null;
    }
    for (const meter of meters) {
      const isHolding = meter instanceof BudgetMeter ? meter.reserved > 0n : meter.inFlight > 0;
      if (!isHolding && meter.asking === 0) this.#touched.delete(meter);
    }
    const answer = await this.#shared.report({ counts, missed }, this.#isNew);
    if (answer === null) {
      for (const meter of meters) this.#touched.add(meter);
      const limits = meters.filter((meter) => meter instanceof LimitMeter);
      for (const [i, meter] of limits.entries()) restore(meter, windows[i]);
      return null;
    }
    this.#count(answer.machines);
    const then = this.#clock.now();
    const isAll = !answer.isNew && this.#clock.monotonic() >= this.#telling;
    for (const [i, meter] of told.entries()) meter.heard(nanos(answer.used[i] ?? 0), then, isAll);
    return answer;
  }

  #count(machines: number): void {
    this.#seen = machines;
    this.#machines = Math.max(machines, this.#leastMachines);
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

/** Whoever waits for an answer waits no longer than for any other question. */
async function soonEnough(report: Promise<boolean>, waitMs: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, waitMs, false);
  void report.then(resolve);
  const isHeard = await promise;
  clearTimeout(timer);
  return isHeard;
}

/** Of what others hold, nobody here knows when it is given back: it is worth asking again in a minute. */
function soon(claim: Claim & { readonly kind: 'money' }, now: number): number | null {
  const waitMs = moneyWaitMs(claim, now);
  const left = claim.meter.period(now).end - now;
  return waitMs === null ? null : Math.max(waitMs, Math.min(left, askAgainMs));
}

/** What nobody heard of is told again. */
function restore(meter: LimitMeter, windows: LimitMeter['missed'] | undefined): void {
  meter.missed.requests ??= windows?.requests ?? null;
  meter.missed.tokens ??= windows?.tokens ?? null;
}

function sharedClaim(claim: Claim, now: number): SharedClaim {
  const { kind, meter, amount } = claim;
  if (kind !== 'money') return { id: meter.id, kind, limit: limitOf(claim), amount, start: 0, paid: 0 };
  const { start } = claim;
  const paid = meter.period(now).start === start ? toNanos(meter.used(now)) : 0;
  const limit = Number(meter.limit / picosPerNano);
  return { id: meter.id, kind, limit, amount: toNanos(amount), start, paid };
}

/** Rounded up, so that what is told is never less than what is held or was paid. */
function toNanos(picos: number | bigint): number {
  return Number((BigInt(picos) + picosPerNano - 1n) / picosPerNano);
}

function nanos(told: number): bigint {
  return BigInt(Math.floor(told)) * picosPerNano;
}
