import type { StoredJob } from '../core/jobs.ts';
import type { Random } from '../core/random.ts';
import type { Timetable } from '../core/schedule.ts';

/** Within this long after its due time a run is late at the most, and never missed; in ms. */
export const graceMs = 30_000;

/** The most missed due times that are made up for, the newest ones. */
export const mostMissed = 1000;

/** A cursor this far ahead of the clock is from a clock that was wrong; in ms. */
const farAheadMs = 26 * 3_600_000;

/** The longest time between two tries, in ms. */
const longestRetryMs = 3_600_000;

/** What is to be done about a job's due times. */
export interface Plan {
  /** Runs to make, oldest first. */
  readonly due: readonly { readonly time: number; readonly isMissed: boolean }[];
  /** Up to where everything is dealt with then; `null` where it stays as it is. */
  readonly cursor: number | null;
  /** Due times that are let go: 0 where none is. Counted up to a thousand. */
  readonly letGo: number;
  /** Whether the cursor goes back, to where the clock is. */
  readonly isBack: boolean;
}

const nothing: Plan = { due: [], cursor: null, letGo: 0, isBack: false };

/**
 * Which due times up to `now` become runs. Those of the last {@link graceMs} all do: a process that was busy has missed
 * nothing. Of older ones, `catchUp` decides within its window: `once` makes up for the newest, and for none where
 * a later one is due anyway; `all` for each; `skip` for none.
 *
 * Where the clock steps back, what was done before is not done again; where it had been wrong by more than a day, the
 * job goes on from where the clock is now.
 * @param now In ms since the Unix epoch.
 */
export function planOf(
  { cursor, catchUp, catchUpWindowMs }: Pick<StoredJob, 'cursor' | 'catchUp' | 'catchUpWindowMs'>,
  timetable: Timetable,
  now: number,
): Plan {
  if (isFarAhead({ cursor }, now)) return { ...nothing, cursor: now, isBack: true };
  const newest = timetable.last(now);
  if (newest === null || newest <= cursor) return nothing;
  const onTime = Math.max(cursor, now - graceMs);
  const recent = between(timetable, onTime, now);
  const missed = missedOf({ from: cursor, to: Math.min(now - graceMs, newest) }, timetable);
  const oldest = now - catchUpWindowMs;
  const wanted = { all: missed, once: recent.length === 0 ? missed.slice(-1) : [], skip: [] }[catchUp];
  const madeUpFor = wanted.filter((time) => time >= oldest);
  return {
    due: [...madeUpFor.map((time) => ({ time, isMissed: true })), ...recent.map((time) => ({ time, isMissed: false }))],
    cursor: newest,
    letGo: missed.length - madeUpFor.length,
    isBack: false,
  };
}

/** Whether what was dealt with was dealt with by a clock that was wrong. */
export function isFarAhead({ cursor }: Pick<StoredJob, 'cursor'>, now: number): boolean {
  return cursor - now > farAheadMs;
}

/** The newest due times after `from`, up to and including `to`. */
function missedOf({ from, to }: { readonly from: number; readonly to: number }, timetable: Timetable): number[] {
  const missed: number[] = [];
  for (let time = timetable.last(to); time !== null && time > from && missed.length < mostMissed;) {
    missed.push(time);
    time = timetable.last(time - 1000);
  }
  return missed.toReversed();
}

function between(timetable: Timetable, from: number, to: number): number[] {
  const times: number[] = [];
  for (let time = timetable.next(from); time !== null && time <= to; time = timetable.next(time)) times.push(time);
  return times;
}

/**
 * How long until the next try, in ms: twice as long each time, less up to a quarter, so that those that failed together
 * don't come back together.
 */
export function backoffMs({ retryMs }: Pick<StoredJob, 'retryMs'>, attempts: number, random: Random): number {
  const whole = Math.min(retryMs * 2 ** (attempts - 1), longestRetryMs);
  return Math.floor(whole * (1 - random() / 4));
}
