import { MizanError } from '../../core/errors.ts';
import { picosPerNano, usdText } from '../../core/money.ts';
import type { QuotaLeft } from '../../core/quota.ts';
import type { SpendingOrder } from '../attempts/order.ts';
import type { BudgetMeter, LimitMeter } from './meter.ts';
import { breadthOf } from './rulebook.ts';
import type { SlidingWindow } from './window.ts';

interface Shared {
  /** What all machines had used before it, where they were asked; money in billionths of a US dollar. */
  seen?: number;
  /** The second, on the shared clock, in which they counted it; absent where they did not. */
  second?: number;
}

/** A part of what a request needs of one limit or budget. */
export type Claim = Shared &
  (
    | {
        readonly kind: 'requests' | 'tokens' | 'inFlight';
        readonly meter: LimitMeter;
        readonly amount: number;
        /** Tokens of its prompt, which are a part of the amount. */
        readonly prompt?: number;
      }
    /** In picodollars; `start` is that of the period that pays. */
    | { readonly kind: 'money'; readonly meter: BudgetMeter; readonly amount: number; readonly start: number }
  );

/** Why a claim can't be met. */
export interface Refusal {
  readonly claim: Claim;
  /** In ms; `null` where waiting doesn't help. */
  readonly waitMs: number | null;
  /** A budget can't meet it either: waiting for room in a limit would be in vain. */
  readonly isSpent?: true;
  /** Whether it may well fit, and nobody could be asked in time. */
  readonly isUnsure?: boolean;
}

export function limitOf(claim: Claim): number {
  const { kind, meter } = claim;
  if (kind === 'money') return meter.rule.usd;
  return (
    (kind === 'requests' ? meter.rule.rpm : kind === 'tokens' ? meter.rule.tpm : meter.rule.maxInFlight) ?? Infinity
  );
}

/** What is counted of it so far, by all machines as far as they were heard of; apart from money. */
export function usedOf(claim: Claim, now: number): number {
  if (claim.kind === 'money') return 0;
  if (claim.seen !== undefined) return claim.seen;
  return ownUse(claim, now) + (claim.kind === 'inFlight' ? 0 : claim.meter.elsewhere(claim.kind, now));
}

/** Whether it is more than all of its limit or budget: then it never fits. */
function isTooLarge(claim: Claim): boolean {
  if (claim.kind === 'money') return BigInt(claim.amount) > claim.meter.limit;
  return claim.amount > limitOf(claim) + tolerance;
}

export function ownUse(claim: Exclude<Claim, { readonly kind: 'money' }>, now: number): number {
  const { kind, meter } = claim;
  if (kind === 'inFlight') return meter.inFlight;
  return (kind === 'requests' ? meter.requests : meter.tokens)?.used(now) ?? 0;
}

/** Sums of fractions of seconds are not exact. */
const tolerance = 1e-9;

/**
 * The narrowest of the claims that can't be met; `null` where all can.
 * @param monotonic For what is counted by the minute. @param now For money.
 */
export function refusalOf(claims: readonly Claim[], monotonic: number, now: number): Refusal | null {
  let found: Refusal | null = null;
  for (const claim of claims) found = narrower(found, refusalOfOne(claim, monotonic, now));
  return found;
}

/** The same for one of several machines that keep to their shares. */
export function refusalByShare(
  claims: readonly Claim[],
  { monotonic, now, machines }: { readonly monotonic: number; readonly now: number; readonly machines: number },
): Refusal | null {
  let found: Refusal | null = null;
  for (const claim of claims) {
    delete claim.seen;
    if (claim.kind === 'money') {
      if (claim.meter.fitsShare(claim.amount, now, machines)) continue;
      found = narrower(found, { claim, waitMs: moneyWaitMs(claim, now) });
    } else {
      const share = Math.max(1, Math.floor(limitOf(claim) / machines));
      // Of tokens, one request may be more than a share: then it waits until nothing else is counted.
      const isAlone = claim.kind === 'tokens' && ownUse(claim, monotonic) === 0 && claim.amount <= limitOf(claim);
      const own = ownUse(claim, monotonic) + claim.amount;
      const others = claim.kind === 'inFlight' ? 0 : claim.meter.elsewhere(claim.kind, monotonic);
      if ((isAlone || own <= share + tolerance) && own + others <= limitOf(claim) + tolerance) continue;
      const window = windowOf(claim);
      const waitMs = claim.kind === 'inFlight' ? inFlightWaitMs : (window?.waitMs(monotonic, share, claim.amount) ?? 0);
      const inTime = Number.isFinite(waitMs) ? waitMs : windowMs;
      found = narrower(found, { claim, waitMs: isTooLarge(claim) ? null : inTime });
    }
  }
  return found;
}

/** Of what is left, one part in so many is let in without anybody's word. */
const unheardParts = 16;

/**
 * The same for a machine whose question was not answered in time, once: what is small beside what is left is let in,
 * until somebody is heard of again.
 */
export function refusalUnheard(claims: readonly Claim[], monotonic: number, now: number): Refusal | null {
  let found: Refusal | null = null;
  for (const claim of claims) {
    delete claim.seen;
    if (isSmall(claim, monotonic, now)) continue;
    const isUnsure = !isTooLarge(claim);
    found = narrower(found, { claim, waitMs: isUnsure ? inFlightWaitMs : null, isUnsure });
  }
  return found;
}

function isSmall(claim: Claim, monotonic: number, now: number): boolean {
  if (claim.kind === 'money') return claim.meter.isSmall(claim.amount, now, unheardParts);
  const { kind, meter, amount } = claim;
  const others = kind === 'inFlight' ? 0 : meter.elsewhere(kind, monotonic);
  const unheard = meter.unheard[kind];
  const left = limitOf(claim) - ownUse(claim, monotonic) - others + unheard;
  return (unheard + amount) * unheardParts <= left;
}

const windowMs = 60_000;

export function narrower(a: Refusal | null, b: Refusal | null): Refusal | null {
  if (a === null || b === null) return a ?? b;
  const found = breadthOf(b.claim.meter.rule) < breadthOf(a.claim.meter.rule) ? b : a;
  const isSpent = [a, b].some((refusal) => refusal.isSpent === true || refusal.claim.kind === 'money');
  return isSpent ? { ...found, isSpent } : found;
}

function refusalOfOne(claim: Claim, monotonic: number, now: number): Refusal | null {
  if (claim.kind === 'money') {
    const { meter, amount } = claim;
    if (BigInt(amount) <= meter.left(now)) return null;
    return { claim, waitMs: moneyWaitMs(claim, now) };
  }
  const limit = limitOf(claim);
  if (usedOf(claim, monotonic) + claim.amount <= limit + tolerance) return null;
  if (claim.kind === 'inFlight') return { claim, waitMs: inFlightWaitMs };
  const window = windowOf(claim);
  const waitMs = window?.waitMs(monotonic, limit, claim.amount) ?? 0;
  return { claim, waitMs: Number.isFinite(waitMs) ? waitMs : null };
}

/** Nobody knows when a request that is being answered ends. */
const inFlightWaitMs = 1000;

/** Where it would fit but for what runs now, soon; else when the period is over. */
export function moneyWaitMs({ meter, amount }: Claim & { readonly kind: 'money' }, now: number): number | null {
  if (meter.used(now) + meter.others(now) + BigInt(amount) <= meter.limit) return inFlightWaitMs;
  const { end } = meter.period(now);
  return Number.isFinite(end) && BigInt(amount) <= meter.limit ? end - now : null;
}

/** Counts claims that were met. */
export function count(claims: readonly Claim[], monotonic: number): void {
  for (const claim of claims) {
    if (claim.kind === 'money') claim.meter.reserved += BigInt(claim.amount);
    else if (claim.kind === 'inFlight') claim.meter.inFlight++;
    else windowOf(claim)?.add(monotonic, claim.amount);
  }
}

/** Takes claims back as if they had never been. @param at When they were counted, on the monotonic clock. */
export function takeBack(claims: readonly Claim[], at: number, monotonic: number): void {
  for (const claim of claims) {
    if (claim.kind === 'money') claim.meter.reserved -= BigInt(claim.amount);
    else if (claim.kind === 'inFlight') claim.meter.inFlight--;
    else windowOf(claim)?.adjust(at, monotonic, -claim.amount);
  }
}

function windowOf({ kind, meter }: Exclude<Claim, { readonly kind: 'money' }>): SlidingWindow | null {
  return kind === 'requests' ? meter.requests : meter.tokens;
}

/** What is left of a limit by the minute, for whoever is told. */
export function leftOf(meter: LimitMeter, kind: 'requests' | 'tokens', left: number, monotonic: number): QuotaLeft {
  const limit = (kind === 'requests' ? meter.rule.rpm : meter.rule.tpm) ?? Infinity;
  const own = (kind === 'requests' ? meter.requests : meter.tokens)?.emptyMs(monotonic) ?? 0;
  const resetMs = Math.max(own, meter.elsewhereMs(kind, monotonic));
  return { limit, remaining: Math.max(0, Math.floor(left + tolerance)), resetMs };
}

const units = {
  requests: 'requests per minute',
  tokens: 'tokens per minute',
  inFlight: 'requests at the same time',
} as const;

/** What a caller is told. @param more Another sentence. */
export function errorOf({ claim, waitMs, isUnsure }: Refusal, monotonic: number, now: number, more = ''): MizanError {
  if (isTooLarge(claim) && claim.kind !== 'money') return tooLarge(claim);
  const details = waitMs === null ? {} : { retryAfterMs: waitMs };
  if (isUnsure === true) {
    const code =
      claim.kind === 'money' ? 'budget_spent' : claim.kind === 'inFlight' ? 'concurrency_limited' : 'rate_limited';
    const message = `${nameOf(claim.meter.rule)} may be used up: what other machines use of it could not be asked in time. Try again in 1 s.`;
    return new MizanError(code, message, details);
  }
  if (claim.kind === 'money') return new MizanError('budget_spent', moneyWords(claim, now), details);
  const { rule } = claim.meter;
  const code = claim.kind === 'inFlight' ? 'concurrency_limited' : 'rate_limited';
  const used = Math.ceil(usedOf(claim, monotonic) - tolerance);
  const need = claim.kind === 'tokens' ? `; this request may need ${claim.amount}` : '';
  const limit = limitOf(claim);
  const room =
    claim.kind === 'inFlight'
      ? 'There is room again when one of them ends.'
      : `There is room again in ${seconds(waitMs ?? windowMs)}.`;
  const message = `${nameOf(rule)} of ${limit} ${units[claim.kind]} is reached: ${used} are used${need}. ${room}${more}`;
  return new MizanError(code, message, details);
}

/** Waiting helps nobody: the request or the limit has to be another one. */
function tooLarge(claim: Exclude<Claim, { readonly kind: 'money' }>): MizanError {
  const { amount, prompt = 0 } = claim;
  const limit = limitOf(claim);
  const room = Math.floor(limit - prompt);
  const remedy =
    room > 0
      ? `It fits with a max_tokens of at most ${room} for all of its answers together`
      : `Its prompt alone is taken for ${prompt}: it fits with a shorter one`;
  const size = `${nameOf(claim.meter.rule)} of ${limit} ${units[claim.kind]}`;
  const message = `${size} never has room for this request, which may need ${amount}. ${remedy}, or with a higher limit.`;
  return new MizanError('larger_than_limit', message);
}

function moneyWords({ meter, amount, seen }: Claim & { readonly kind: 'money' }, now: number): string {
  const { rule } = meter;
  const { end } = meter.period(now);
  const size = `${nameOf(rule)} of ${rule.usd} USD ${rule.per === 'total' ? 'in total' : `per ${rule.per}`}`;
  const again = Number.isFinite(end) ? ` It begins anew at ${new Date(end).toISOString()}.` : '';
  if (BigInt(amount) > meter.limit) {
    const cost = usdText(BigInt(amount));
    return `${size} never has enough for this request, which may cost up to ${cost} USD. Ask for less with a smaller max_tokens, or for a higher budget.`;
  }
  const most = `this request may cost up to ${usdText(BigInt(amount))} USD, less with a smaller max_tokens`;
  if (seen !== undefined) {
    const use = `${usdText(BigInt(Math.floor(seen)) * picosPerNano)} USD are used or held by all machines`;
    return `${size} has not enough left: ${use}; ${most}.${again}`;
  }
  const held = meter.reserved > 0n ? ` and ${usdText(meter.reserved)} USD are held for requests under way` : '';
  const use = `${usdText(meter.used(now) + meter.others(now))} USD are used${held}`;
  if (meter.left(now) <= 0n && meter.reserved === 0n) return `${size} is spent: ${use}.${again}`;
  return `${size} has not enough left: ${use}; ${most}.${again}`;
}

function nameOf(rule: LimitMeter['rule'] | BudgetMeter['rule']): string {
  const kind = 'usd' in rule ? 'budget' : 'limit';
  return rule.source === 'key' ? `The ${kind} of the API key ${rule.name}` : `The ${kind} "${rule.name}"`;
}

function seconds(ms: number): string {
  return `${Math.max(1, Math.ceil(ms / 1000))} s`;
}

/** A budget can't pay for what has no price. */
export function unpriced(rule: BudgetMeter['rule'], { instance }: SpendingOrder): MizanError {
  const { provider, upstreamModel } = instance;
  const line = `providers.${provider.name}.prices: { ${JSON.stringify(upstreamModel)}: { input: …, output: … } }`;
  const name = rule.source === 'key' ? `of the API key ${rule.name}` : `"${rule.name}"`;
  return new MizanError(
    'price_unknown',
    `${upstreamModel} has no price, and the budget ${name} can't pay for what it doesn't know. In the configuration, in US dollars per million tokens: ${line}`,
  );
}
