import type { Clock } from '../../core/clock.ts';
import type { Missed, OwnCount, SharedChange, SharedClaim, SharedCounters, SharedVerdict } from '../../core/limit.ts';
import { picosPerNano } from '../../core/money.ts';
import type { Used } from './account.ts';
import type { Claim, Refusal } from './claim.ts';
import { count, limitOf, moneyWaitMs, narrower, ownUse, refusalByShare } from './claim.ts';
import { BudgetMeter, LimitMeter } from './meter.ts';

/** How often what was counted here is told, in ms: what was lost on the way is right again after that. */
const reportMs = 1000;

/** How often somebody is asked who is there and doesn't answer in time. */
const maxTries = 3;

/** In ms. */
const patienceMs = 25;

const askAgainMs = 60_000;

/** Counts in one report; more are told one after the other. */
const atOnce = 200;

/** Kept by several machines: what one lets in, all count. */
export class Sharing {
  readonly #shared: SharedCounters;
  readonly #clock: Clock;
  /** Those that have changed since they were told, or hold something. */
  readonly #touched = new Set<LimitMeter | BudgetMeter>();
  readonly #leastMachines: number;
  readonly #all: () => Iterable<LimitMeter>;
  #machines: number;
  #reporting: NodeJS.Timeout | null = null;
  #isReporting: Promise<boolean> | null = null;
  #isByShare = false;

  /**
   * @param all Every meter of a limit. @param machines How many there are at the least, for when none can be asked.
   */
  constructor(
    shared: SharedCounters,
    of: { readonly clock: Clock; readonly all: () => Iterable<LimitMeter>; readonly machines: number },
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
    const verdict = await this.#verdict(claims);
    if (verdict === null) return this.#takeByShare(claims);
    this.#isByShare = false;
    this.#machines = Math.max(verdict.machines, this.#leastMachines);
    const monotonic = this.#clock.monotonic();
    const now = this.#clock.now();
    for (const [i, claim] of claims.entries()) {
      claim.seen = verdict.used[i] ?? 0;
      claim.second = verdict.second;
      this.#touched.add(claim.meter);
      if (claim.kind === 'money') claim.meter.heard(nanos(claim.seen), now);
      else if (claim.kind !== 'inFlight') {
        claim.meter.heard(claim.kind, monotonic, claim.seen - ownUse(claim, monotonic));
      }
    }
    if (verdict.refused.length === 0) count(claims, monotonic, 1);
    let refusal: Refusal | null = null;
    for (const { index, waitMs } of verdict.refused) {
      const claim = claims[index];
      if (claim === undefined) continue;
      refusal = narrower(refusal, { claim, waitMs: claim.kind === 'money' ? soon(claim, now) : waitMs });
    }
    return refusal;
  }

  /** A slow answer is no reason yet to keep to a share: it is asked again, until nobody is there any more. */
  async #verdict(claims: readonly Claim[]): Promise<SharedVerdict | null> {
    const asked = claims.map(sharedClaim);
    for (let tries = 0; tries < maxTries && this.#shared.isThere; tries++) {
      let verdict = await this.#ask(claims, asked);
      if (verdict === 'unknown' && (await soonEnough(this.report()))) verdict = await this.#ask(claims, asked);
      if (verdict !== null && verdict !== 'unknown') return verdict;
    }
    return null;
  }

  /** While something is asked, what the others know of these meters is not corrected. */
  #ask(claims: readonly Claim[], asked: readonly SharedClaim[]): ReturnType<SharedCounters['take']> {
    for (const { meter } of claims) meter.asking++;
    return this.#shared.take(asked, () => {
      // Whoever asked counts what was met first.
      setImmediate(() => {
        for (const { meter } of claims) meter.asking--;
      });
    });
  }

  #takeByShare(claims: readonly Claim[]): Refusal | null {
    this.#isByShare = true;
    const monotonic = this.#clock.monotonic();
    const refusal = refusalByShare(claims, { monotonic, now: this.#clock.now(), machines: this.#machines });
    if (refusal !== null) return refusal;
    count(claims, monotonic, 1);
    for (const { kind, meter, amount } of claims) {
      this.#touched.add(meter);
      if (kind === 'requests' || kind === 'tokens') meter.miss(kind, monotonic, amount);
    }
    return null;
  }

  /** Tells of claims that have ended. Nobody waits for it. @param at When they were counted, on the monotonic clock. */
  ended(claims: readonly Claim[], at: number, { tokens, cost }: Used): void {
    const changes: SharedChange[] = [];
    for (const claim of claims) {
      const { kind, meter, second } = claim;
      this.#touched.add(meter);
      if (kind === 'tokens' && second === undefined) {
        meter.missed.tokens?.adjust(at, this.#clock.monotonic(), tokens - claim.amount);
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
    const touched = [...this.#touched];
    for (let i = 0; i < touched.length || i === 0; i += atOnce) {
      const answer = await this.#tell(touched.slice(i, i + atOnce));
      if (answer === null) return false;
      if (answer.isNew && !(await this.#tellAll())) return false;
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
    const answer = await this.#shared.report({ counts, missed });
    if (answer === null) {
      for (const meter of meters) this.#touched.add(meter);
      const limits = meters.filter((meter) => meter instanceof LimitMeter);
      for (const [i, meter] of limits.entries()) restore(meter, windows[i]);
      return null;
    }
    this.#machines = Math.max(answer.machines, this.#leastMachines);
    const then = this.#clock.now();
    for (const [i, meter] of told.entries()) meter.heard(nanos(answer.used[i] ?? 0), then);
    return answer;
  }

  /** Where the memory was empty: all that was let in during the last minute. */
  async #tellAll(): Promise<boolean> {
    const monotonic = this.#clock.monotonic();
    const missed: Missed[] = [];
    for (const { id, requests, tokens } of this.#all()) {
      for (const [kind, window] of [
        ['requests', requests],
        ['tokens', tokens],
      ] as const) {
        for (const [age, amount] of window?.ages(monotonic) ?? []) missed.push({ id, kind, age, amount });
      }
    }
    for (let i = 0; i < missed.length; i += atOnce) {
      const answer = await this.#shared.report({ counts: [], missed: missed.slice(i, i + atOnce) });
      if (answer === null) return false;
    }
    return true;
  }
}

/** Whoever waits for an answer waits no longer than for any other question. */
async function soonEnough(report: Promise<boolean>): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, patienceMs, false);
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

function sharedClaim(claim: Claim): SharedClaim {
  const { kind, meter, amount } = claim;
  if (kind !== 'money') return { id: meter.id, kind, limit: limitOf(claim), amount, start: 0 };
  return { id: meter.id, kind, limit: Number(meter.limit / picosPerNano), amount: toNanos(amount), start: claim.start };
}

/** Rounded up, so that what is told is never less than what is held or was paid. */
function toNanos(picos: number | bigint): number {
  return Number((BigInt(picos) + picosPerNano - 1n) / picosPerNano);
}

function nanos(told: number): bigint {
  return BigInt(Math.floor(told)) * picosPerNano;
}
