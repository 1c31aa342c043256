import type { BudgetPeriod } from './limit.ts';

/** From `start` up to and without `end`, in ms since the Unix epoch. */
export interface Period {
  readonly start: number;
  readonly end: number;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** 1970-01-05, a Monday. */
const mondayMs = 4 * dayMs;

const formats = new Map<string, Intl.DateTimeFormat>();

/** The period that `now` lies in, by the clocks and calendars of `timezone`. Weeks begin on Monday. */
export function periodAt(now: number, per: BudgetPeriod, timezone: string): Period {
  if (per === 'total') return { start: 0, end: Infinity };
  if (per === 'hour') return hourAt(now, timezone);
  const local = now + offsetAt(now, timezone);
  const start = localStart(local, per);
  const period = { start: fromLocal(start, timezone), end: fromLocal(next(start, per), timezone) };
  return now < period.end ? period : { start: period.end, end: fromLocal(next(next(start, per), per), timezone) };
}

/**
 * From one moment at which the clock shows a whole hour to the next. An hour that is there twice, when clocks are put
 * back, is two; where they are moved by half an hour, the one around it is shorter or longer.
 */
function hourAt(now: number, timezone: string): Period {
  const offset = offsetAt(now, timezone);
  const wholeBefore = (time: number, by: number): number => time - mod(time + by, hourMs);
  const period = { start: wholeBefore(now, offset), end: wholeBefore(now, offset) + hourMs };
  const before = offsetAt(period.start, timezone);
  if (before !== offset) period.start = wholeBefore(changeBetween(period.start, now, timezone), before);
  const after = offsetAt(period.end, timezone);
  if (after !== offset) {
    const change = changeBetween(now, period.end, timezone);
    if (change < period.end) period.end = change + mod(-(change + after), hourMs);
  }
  return period;
}

/** When the clocks are moved between the two, in ms; a whole second. */
function changeBetween(from: number, to: number, timezone: string): number {
  const before = offsetAt(from, timezone);
  let [low, high] = [Math.floor(from / 1000), Math.ceil(to / 1000)];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetAt(middle * 1000, timezone) === before) low = middle;
    else high = middle;
  }
  return high * 1000;
}

function mod(value: number, by: number): number {
  return ((value % by) + by) % by;
}

type OfCalendar = Exclude<BudgetPeriod, 'total' | 'hour'>;

/** Local times are written as if they were UTC. */
function localStart(local: number, per: OfCalendar): number {
  if (per === 'day') return Math.floor(local / dayMs) * dayMs;
  if (per === 'week') return Math.floor((local - mondayMs) / (7 * dayMs)) * 7 * dayMs + mondayMs;
  const date = new Date(local);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
}

function next(start: number, per: OfCalendar): number {
  if (per === 'day') return start + dayMs;
  if (per === 'week') return start + 7 * dayMs;
  const date = new Date(start);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}

function fromLocal(local: number, timezone: string): number {
  const guess = local - offsetAt(local, timezone);
  return local - offsetAt(guess, timezone);
}

/** How far the clocks of `timezone` are ahead of UTC at `time`, in ms. */
function offsetAt(time: number, timezone: string): number {
  if (timezone === 'UTC') return 0;
  let format = formats.get(timezone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en', {
      timeZone: timezone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(timezone, format);
  }
  const parts: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(time)) parts[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(time / 1000) * 1000;
}

/** Whether `zone` is an IANA name of a time zone. */
export function isTimeZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
