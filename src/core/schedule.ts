import { Cron } from 'croner';
import { LRUCache } from 'lru-cache';
import { parseDuration } from './duration.ts';

/** When a job is due. */
export type Schedule =
  | { readonly kind: 'cron'; readonly cron: string; readonly timezone: string }
  /** At every multiple of so many ms since the Unix epoch: the same on every machine, whenever it was started. */
  | { readonly kind: 'every'; readonly everyMs: number }
  /** Once, in ms since the Unix epoch. */
  | { readonly kind: 'at'; readonly at: number };

/** The due times of a schedule, all whole seconds. */
export interface Timetable {
  /** The first due time after `time`; `null` where there is none. All times in ms since the Unix epoch. */
  next(time: number): number | null;
  /** The last due time up to and including `time`; `null` where there is none. */
  last(time: number): number | null;
}

/** The shortest interval and the longest, in ms: a second and a leap year. */
const shortestMs = 1000;
const longestMs = 366 * 86_400_000;

/** Long before any clock of ours: whether a cron fires one day doesn't depend on the year. */
const someTime = new Date('2000-01-01T00:00:00Z');

const fieldsWanted =
  'expected five fields: minute, hour, day of the month, month, day of the week; or six, with seconds before them';

/** What croner makes of an expression takes 80 KB, so that only what is in use is kept. */
const crons = new LRUCache<string, Cron>({ max: 100 });

function cronOf(expression: string, timezone: string): Cron {
  const key = `${timezone} ${expression}`;
  let cron = crons.get(key);
  if (cron === undefined) {
    cron = newCron(expression, timezone);
    crons.set(key, cron);
  }
  return cron;
}

function newCron(expression: string, timezone: string): Cron {
  // A list such as `30 2,14 * * *` names times of the day as well as one time does: each has its day's one run.
  return new Cron(expression, { mode: '5-or-6-parts', timezone, fixedTimeRule: 'no-wildcard', paused: true });
}

/** Why `expression` is no cron of five or six fields that fires one day; `undefined` where it is one. */
export function cronProblem(expression: string): string | undefined {
  const [, interval] = /^@every\s+(\S+)$/.exec(expression.trim()) ?? [];
  if (interval !== undefined) return `expected a cron; an interval is "every: ${interval}" instead`;
  const fields = expression.trim().split(/\s+/).length;
  if (!expression.trim().startsWith('@') && fields !== 5 && fields !== 6) return fieldsWanted;
  try {
    const next = newCron(expression, 'UTC').nextRun(someTime);
    return next === null ? `expected a cron that fires; this one never does${nextForm(expression)}` : undefined;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.replace(/^Cron\w+: /, '') : String(cause);
    return `expected a cron of five or six fields: ${why}`;
  }
}

/** What a cron for a day that no such month has may have been meant to be. */
function nextForm(expression: string): string {
  const meant = expression
    .trim()
    .split(/\s+/)
    .map((field, i, fields) => (i === fields.length - 3 ? 'L' : field))
    .join(' ');
  return newCron(meant, 'UTC').nextRun(someTime) === null ? '' : ` ("${meant}" does, on the month’s last day)`;
}

/** `90s`, `15m`, `1h`, `7d` or seconds, as ms; `undefined` where it is none, under a second or over 366 days. */
export function everyOf(written: string): number | undefined {
  const ms = (parseDuration(written.trim()) ?? 0) * 1000;
  return ms >= shortestMs && ms <= longestMs ? ms : undefined;
}

const isoPattern = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?(Z|[+-]\d{2}:?\d{2})?$/;

/**
 * A moment as people write it: `2026-12-24T18:00`, in `timezone` where it has no offset of its own.
 * @returns ms since the Unix epoch, a whole second; `undefined` where it is none.
 */
export function atOf(written: string, timezone: string): number | undefined {
  const text = written.trim().replace(' ', 'T');
  const [match, offset] = isoPattern.exec(text) ?? [];
  if (match === undefined || !isDay(text.slice(0, 10))) return undefined;
  if (offset !== undefined) {
    const time = Date.parse(text);
    return Number.isNaN(time) ? undefined : Math.floor(time / 1000) * 1000;
  }
  try {
    const whole = text.includes('T') ? text : `${text}T00:00:00`;
    return new Cron(whole, { timezone, paused: true }).getOnce()?.getTime();
  } catch {
    return undefined;
  }
}

/** `Date` takes 30 February for 2 March. */
function isDay(written: string): boolean {
  const time = Date.parse(written);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(written);
}

/**
 * The due times of `schedule`. Its methods throw whatever a cron that is none is refused with; `cronProblem` says so
 * beforehand.
 */
export function timetableOf(schedule: Schedule): Timetable {
  switch (schedule.kind) {
    case 'cron':
      return cronTimetable(schedule.cron, schedule.timezone);
    case 'every': {
      const { everyMs } = schedule;
      return {
        next: (time) => (Math.floor(time / everyMs) + 1) * everyMs,
        last: (time) => Math.floor(time / everyMs) * everyMs,
      };
    }
    case 'at': {
      const { at } = schedule;
      return { next: (time) => (at > time ? at : null), last: (time) => (at <= time ? at : null) };
    }
  }
}

function cronTimetable(expression: string, timezone: string): Timetable {
  const cron = (): Cron => cronOf(expression, timezone);
  return {
    next: (time) => cron().nextRun(new Date(time))?.getTime() ?? null,
    // It looks strictly before the whole second of what it is given.
    last: (time) =>
      cron()
        .previousRuns(1, new Date(Math.floor(time / 1000) * 1000 + 1000))[0]
        ?.getTime() ?? null,
  };
}
