/** By what requests are told apart for a limit. The narrowest first. */
export const limitFields = ['key', 'principal', 'agent', 'model', 'tenant'] as const;

export type LimitField = (typeof limitFields)[number];

/** Whom a limit is for: every field that is there has to match. `*` matches anything and counts each for itself. */
export type LimitTarget = Readonly<Partial<Record<LimitField, string>>>;

/** How long money lasts before it begins anew. */
export const budgetPeriods = ['hour', 'day', 'week', 'month', 'total'] as const;

export type BudgetPeriod = (typeof budgetPeriods)[number];

/** How much may be used. `null` for no limit. */
export interface LimitRule {
  readonly name: string;
  readonly source: 'config' | 'api' | 'key';
  readonly for: LimitTarget;
  /** Requests and tokens in any minute. */
  readonly rpm: number | null;
  readonly tpm: number | null;
  /** Requests that are being answered at the same time. */
  readonly maxInFlight: number | null;
}

/** How much may be spent. */
export interface BudgetRule {
  readonly name: string;
  readonly source: 'config' | 'api' | 'key';
  readonly for: LimitTarget;
  /** In US dollars, with at most six decimals. */
  readonly usd: number;
  readonly per: BudgetPeriod;
  /** In whose days, weeks and months; an IANA name. */
  readonly timezone: string;
  /** At how many percent somebody is told. */
  readonly alerts: readonly number[];
}

export const usualAlerts: readonly number[] = [50, 80, 100];

/** The most that a budget can hold, in US dollars. */
export const maxBudgetUsd = 1_000_000;

/** Whether a budget can hold so much to the last digit. */
export function isBudgetUsd(usd: number): boolean {
  return usd > 0 && usd <= maxBudgetUsd && Number(usd.toFixed(6)) === usd;
}

/** Rules that are made while Mizan runs. */
export interface LimitRules {
  /** All there are; read anew where they may have changed. */
  limits(): readonly LimitRule[];
  budgets(): readonly BudgetRule[];
  putLimit(rule: LimitRule, at: number): void;
  putBudget(rule: BudgetRule, at: number): void;
  /** Whether there was one. */
  remove(kind: 'limit' | 'budget', name: string): boolean;
  /** Changes whenever a rule may have. At most a second late for those of other processes. */
  readonly version: number;
}

/** What one attempt cost, and whose money it was. A row of the ledger. */
export interface Charge {
  /** From 0, in the order in which the attempts of a request ended. */
  readonly seq: number;
  readonly model: string;
  /** In picodollars. */
  readonly cost: number;
  /** The budgets that paid for it, each with the start of its period in ms since the Unix epoch. */
  readonly budgets: readonly (readonly [budget: string, start: number])[];
}

/** What a budget paid in one period, as the ledger has it. In picodollars. */
export interface BudgetUse {
  readonly budget: string;
  readonly start: number;
  readonly used: bigint;
}

/** Something in the ledger that does not add up. */
export interface LedgerFault {
  readonly what: 'request' | 'budget';
  /** The id of the request, or the budget with the start of its period. */
  readonly id: string;
  /** In picodollars: what the ledger's rows come to, and what they should. */
  readonly ledger: bigint;
  readonly expected: bigint;
}

export interface LedgerReport {
  readonly rows: number;
  readonly requests: number;
  readonly budgets: number;
  /** Over all rows, in picodollars. */
  readonly sum: bigint;
  readonly faults: readonly LedgerFault[];
}

/** What was spent, on disk. Rows are written with the request log: see `RequestRecord.charges`. */
export interface Ledger {
  /** What a budget paid so far in the period that begins at `start`, by this process's own count. Synchronous: µs. */
  used(budget: string, start: number): bigint;
  /**
   * What all processes on the database have paid in that period, as far as it has come there; `null` where that is not
   * known yet. Synchronous: µs.
   */
  paidByAll(budget: string, start: number): bigint | null;
  /** What budgets paid in the periods that begin at `starts`; in the order of their names. */
  uses(starts: Iterable<number>): Promise<BudgetUse[]>;
  /** Adds everything up, against the request log. */
  check(): Promise<LedgerReport>;
}

/** A part of what a request needs of a limit that several machines share. */
export interface SharedClaim {
  /** Of the meter. */
  readonly id: string;
  readonly kind: 'requests' | 'tokens' | 'inFlight' | 'money';
  /** Requests, tokens, or billionths of a US dollar; likewise `amount`. */
  readonly limit: number;
  readonly amount: number;
  /** Of the period that pays; 0 where it isn't money. */
  readonly start: number;
  /** What this machine has paid in it, by its own books; 0 where it isn't money. */
  readonly paid: number;
}

/** What all machines together say to claims. */
export interface SharedVerdict {
  /** The second, on the shared clock, in which they were counted. */
  readonly second: number;
  /** Machines that count at the moment. */
  readonly machines: number;
  /** By the claims' order: what was used before, by all of them. */
  readonly used: readonly number[];
  /** Those that can't be met, each with when there is room again, in ms; `null` where nobody knows. None: all are counted. */
  readonly refused: readonly { readonly index: number; readonly waitMs: number | null }[];
}

/** The end of a claim, or a change to it. */
export interface SharedChange {
  readonly id: string;
  readonly kind: SharedClaim['kind'];
  readonly start: number;
  /** In which it was counted. */
  readonly second: number;
  /** What is given back: of requests, tokens, what is in flight, or money that was held. */
  readonly back: number;
  /** What was paid. */
  readonly paid: number;
}

/** What takes claims back that were counted in `second`, as if they had never been. */
export function undone(claims: readonly SharedClaim[], second: number): SharedChange[] {
  return claims.map(({ id, kind, amount, start }) => ({ id, kind, start, second, back: amount, paid: 0 }));
}

/** What one machine has counted by itself: true whatever the others know. */
export interface OwnCount {
  readonly id: string;
  readonly kind: 'inFlight' | 'money';
  readonly start: number;
  /** In flight, or money that is held; `null` where something is being asked, so that what is known of it stays. */
  readonly now: number | null;
  /** Paid in the period. */
  readonly paid: number;
}

/** What was let in while the machines could not speak with each other; `age` in seconds. */
export interface Missed {
  readonly id: string;
  readonly kind: 'requests' | 'tokens';
  readonly age: number;
  readonly amount: number;
}

/** What a machine says now and then. */
export interface Report {
  readonly counts: readonly OwnCount[];
  readonly missed: readonly Missed[];
}

/** Counts that several machines share. */
export interface SharedCounters {
  /** Whether the others can be spoken with. */
  readonly isThere: boolean;
  /** How often they could not be spoken with any more: what was under way then may or may not have been counted. */
  readonly losses: number;
  /**
   * Meets all claims or none, atomically; `null` where nobody answers in time, `unknown` where nobody has heard of this
   * machine: it has to report first.
   * @param over Called when nothing more will come of it, which may be after it was answered by `null`: what was counted
   * too late is taken back before.
   * @param patienceMs How long the answer may take; 25 ms at the most.
   */
  take(
    claims: readonly SharedClaim[],
    over: () => void,
    patienceMs?: number,
  ): Promise<SharedVerdict | 'unknown' | null>;
  /** Nobody waits for it: what is lost is put right by the next report. */
  change(changes: readonly SharedChange[]): void;
  /**
   * Says what this machine has counted.
   * @returns Money that all have paid and hold, by the order of `counts`, and whether the shared memory was empty;
   * `null` where nobody answers in time.
   * @param isNew Called where it was empty, before anybody hears of an answer that was given after.
   */
  report(
    report: Report,
    isNew: () => void,
  ): Promise<{ readonly used: readonly number[]; readonly machines: number; readonly isNew: boolean } | null>;
}
