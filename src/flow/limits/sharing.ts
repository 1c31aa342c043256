import type { Clock } from '../../core/clock.ts';
import type { SharedChange, SharedClaim, SharedCounters, SharedVerdict } from '../../core/limit.ts';
import { undone } from '../../core/limit.ts';
import { picosPerNano } from '../../core/money.ts';
import type { Used } from './account.ts';
import type { Claim, Refusal } from './claim.ts';
import { count, limitOf, moneyWaitMs, narrower, ownUse, refusalByShare, refusalUnheard } from './claim.ts';
import type { Every } from './reports.ts';
import { nanos, reportMs, Reports, toNanos } from './reports.ts';

/** How long a request waits for the others' word, in ms, however many questions that takes. */
const patienceMs = 25;

const askAgainMs = 60_000;

/** Kept by several machines: what one lets in, all count. */
export class Sharing {
  readonly #shared: SharedCounters;
  readonly #clock: Clock;
  readonly #reports: Reports;
  #reporting: NodeJS.Timeout | null = null;
  #isByShare = false;

  /** @param machines How many there are at the least, for when none can be asked. */
  constructor(
    shared: SharedCounters,
    of: { readonly clock: Clock; readonly all: () => Every; readonly machines: number },
  ) {
    this.#shared = shared;
    this.#clock = of.clock;
    this.#reports = new Reports(shared, of);
  }

  /** Begins to tell the others, every second while there is anything to tell. */
  start(): void {
    void this.#report();
    this.#reporting = setInterval(() => {
      if (this.#reports.isDue) void this.#report();
    }, reportMs).unref();
  }

  stop(): void {
    if (this.#reporting !== null) clearInterval(this.#reporting);
  }

  /** Whether this machine keeps to its share, since it can't ask the others. */
  get isByShare(): boolean {
    return this.#isByShare || !this.#shared.isThere;
  }

  async #report(): Promise<boolean> {
    const isHeard = await this.#reports.send();
    if (isHeard) this.#isByShare = false;
    return isHeard;
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
    this.#reports.count(verdict.machines);
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
    const isTelling = this.#reports.isTelling;
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
    const counted = claims.map((claim) => sharedClaim(claim, this.#clock.monotonic(), now));
    this.#shared.change(undone(counted, second));
  }

  #hear(claims: readonly Claim[], verdict: SharedVerdict): void {
    const monotonic = this.#clock.monotonic();
    const now = this.#clock.now();
    for (const [i, claim] of claims.entries()) {
      claim.seen = (verdict.used[i] ?? 0) + untold(claim, monotonic);
      claim.second = verdict.second;
      if (claim.kind === 'money') claim.meter.heard(nanos(claim.seen), now, !this.#reports.isTelling);
      else if (claim.kind !== 'inFlight')
        claim.meter.heard(claim.kind, monotonic, claim.seen - ownUse(claim, monotonic));
    }
  }

  /** Whether what the shared memory says is what all have told it. */
  get #isWhole(): boolean {
    return this.#shared.isThere && this.#reports.isWhole;
  }

  /** Of all together, no longer than one answer may take. */
  async #verdict(claims: readonly Claim[]): Promise<SharedVerdict | null> {
    if (!this.#isWhole) return null;
    const deadline = this.#clock.monotonic() + patienceMs;
    const left = (): number => Math.max(0, deadline - this.#clock.monotonic());
    if (!this.#reports.isTold) void this.#report();
    let verdict = this.#reports.isTold ? await this.#ask(claims, left()) : 'unknown';
    if (verdict === 'unknown' && (await soonEnough(this.#report(), left()))) {
      const again = this.#isWhole && this.#refusalByKnown(claims) === null;
      verdict = again ? await this.#ask(claims, left()) : null;
    }
    return verdict === 'unknown' ? null : verdict;
  }

  /** While something is asked, what the others know of these meters is not corrected. */
  #ask(claims: readonly Claim[], waitMs: number): ReturnType<SharedCounters['take']> {
    const now = this.#clock.now();
    const asked = claims.map((claim) => sharedClaim(claim, this.#clock.monotonic(), now));
    for (const { meter } of claims) {
      meter.asking++;
      this.#reports.touch(meter);
    }
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
    const changes: SharedChange[] = [];
    for (const claim of claims) {
      const { kind, meter, amount } = claim;
      if (kind === 'money') meter.unheard += BigInt(amount);
      else meter.unheard[kind] += amount;
      if (kind === 'requests' || kind === 'tokens') continue;
      claim.second = 0;
      const held = kind === 'money' ? toNanos(amount) : amount;
      changes.push({ id: meter.id, kind, start: kind === 'money' ? claim.start : 0, second: 0, back: -held, paid: 0 });
    }
    this.#shared.change(changes);
    void this.#report();
    return null;
  }

  #countAlone(claims: readonly Claim[], monotonic: number): void {
    count(claims, monotonic);
    for (const { kind, meter, amount } of claims) {
      this.#reports.touch(meter);
      if (kind === 'requests' || kind === 'tokens') meter.miss(kind, monotonic, amount);
    }
  }

  #takeByShare(claims: readonly Claim[]): Refusal | null {
    this.#isByShare = true;
    const { machines } = this.#reports;
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
      this.#reports.touch(meter);
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

/** What was counted here by the minute, and the others have not been told of. */
function untold({ kind, meter }: Claim, monotonic: number): number {
  return kind === 'requests' || kind === 'tokens' ? (meter.missed[kind]?.used(monotonic) ?? 0) : 0;
}

function sharedClaim(claim: Claim, monotonic: number, now: number): SharedClaim {
  const { kind, meter, amount } = claim;
  if (kind !== 'money') {
    const limit = limitOf(claim) - untold(claim, monotonic);
    return { id: meter.id, kind, limit, amount, start: 0, paid: 0 };
  }
  const { start } = claim;
  const paid = meter.period(now).start === start ? toNanos(meter.used(now)) : 0;
  const limit = Number(meter.limit / picosPerNano);
  return { id: meter.id, kind, limit, amount: toNanos(amount), start, paid };
}
