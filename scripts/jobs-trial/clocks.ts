import { globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { JobRun, StoredJob } from '../../src/core/jobs.ts';
import type { TrialOptions } from './stage.ts';
import { off, say, Stage, until } from './stage.ts';

const minuteMs = 60_000;

/** A change of the clocks: when, in which zone, and a time of the day that is left out or comes twice by it. */
interface Edge {
  readonly zone: string;
  readonly at: string;
  readonly time: string;
}

const edges: readonly Edge[] = [
  { zone: 'Europe/Berlin', at: '2026-03-29T01:00:00Z', time: '02:30' },
  { zone: 'Europe/Berlin', at: '2026-10-25T01:00:00Z', time: '02:30' },
  { zone: 'America/New_York', at: '2026-03-08T07:00:00Z', time: '02:30' },
  { zone: 'America/New_York', at: '2026-11-01T06:00:00Z', time: '01:30' },
  { zone: 'Australia/Lord_Howe', at: '2026-10-03T15:30:00Z', time: '02:15' },
  { zone: 'Australia/Lord_Howe', at: '2026-04-04T15:00:00Z', time: '01:45' },
  { zone: 'Pacific/Apia', at: '2020-09-26T14:00:00Z', time: '03:30' },
  { zone: 'Pacific/Apia', at: '2021-04-03T14:00:00Z', time: '03:30' },
  { zone: 'Asia/Beirut', at: '2026-03-28T22:00:00Z', time: '00:30' },
  { zone: 'Asia/Beirut', at: '2026-10-24T21:00:00Z', time: '23:30' },
];

/**
 * How long before and after an edge is lived through. `--speed` is how much faster than the clock on the wall:
 * libfaketime shortens `usleep` as well, by which SQLite waits for locks, so that at 20 of 5 s of patience 0.25 s are
 * left. What fails for a lock then, on a machine that has no time for it, fails nowhere else.
 */
const window = { beforeMs: 75 * minuteMs, afterMs: 40 * minuteMs } as const;

/** How long what was due may take to end, in ms. */
const settlingMs = 240_000;

/** Both edges of daylight saving in five zones, and what happens to a clock besides; each with a scheduler of its own. */
export async function clocks({ others, only, speed }: TrialOptions): Promise<object> {
  const library = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')[0];
  if (library === undefined) throw new Error('This trial needs libfaketime (Debian: apt-get install faketime).');
  const preload = { LD_PRELOAD: library, FAKETIME_DONT_FAKE_MONOTONIC: '1', TZ: 'UTC' };
  const parts = [
    ...edges
      .filter(({ zone }) => only === undefined || zone === only)
      .map((edge) => ({
        what: nameOf(edge),
        live: (services: object) => crossing(edge, services, { preload, speed }),
      })),
    ...(only === undefined || only === 'jumps'
      ? [{ what: jumps, live: (services: object) => jumping(services, preload) }]
      : []),
  ];
  const results = await Promise.all(
    parts.map(async ({ what, live }) => {
      // One that can't be lived through is no reason to know nothing of the others.
      const part = await live(await others()).catch((error: unknown) => ({ isAsStated: false, error: String(error) }));
      say(`${what}: ${part.isAsStated ? 'as stated' : 'not as stated'}`);
      return { what, ...part };
    }),
  );
  return { speed, as_stated: results.filter(({ isAsStated }) => isAsStated).length, of: results.length, results };
}

const nameOf = ({ zone, at, time }: Edge): string => `${zone} ${at}, ${time}`;

/** How clocks go in a part of the trial. */
interface Pace {
  readonly preload: Readonly<Record<string, string>>;
  readonly speed: number;
}

async function crossing(edge: Edge, services: object, { preload, speed }: Pace) {
  const { zone, at, time } = edge;
  const from = Date.parse(at) - window.beforeMs;
  const [hour, minute] = time.split(':').map(Number);
  const jobs = {
    ...off,
    cleanup: { type: 'cache-cleanup', cron: '0 * * * *', timezone: zone },
    quarters: { type: 'cache-cleanup', cron: '*/15 * * * *', timezone: zone },
    minutes: { type: 'cache-cleanup', cron: '* * * * *', timezone: zone, overlap: 'allow' },
    nightly: { type: 'backup', cron: `${minute} ${hour} * * *`, timezone: zone },
  };
  const stage = new Stage({ ...services, schedule: { jobs } });
  try {
    const began = new Date(from).toISOString().slice(0, 19).replace('T', ' ');
    const scheduler = await stage.scheduler({ ...preload, FAKETIME: `@${began} x${speed}` });
    await wait((window.beforeMs + window.afterMs) / speed);
    await settled(stage, ['nightly']);
    await scheduler.end('SIGTERM');
    const { createdAt: start, cursor: to } = born(await stage.jobs(), 'minutes');
    const seen: Record<string, unknown> = { from: iso(start), to: iso(to) };
    // Who comes after the first of the two hours, or after the gap, sees nothing of it.
    let isAsStated = firstOf(time, zone, Date.parse(at)) > start;
    for (const [job, of] of Object.entries({ cleanup: 60, quarters: 15, nightly: time })) {
      const expected = typeof of === 'number' ? intervals(of, zone, start, to) : timesOfDay(of, zone, start, to);
      const runs = await stage.history([job]);
      const got = duesOf(runs.filter(({ status }) => status === 'succeeded'));
      seen[job] = got.map((due) => due.slice(11, 16)).join(' ');
      if (got.join() !== expected.join() || runs.length !== got.length) {
        isAsStated = false;
        seen[`${job}_expected`] = expected.join(' ');
        seen[`${job}_all`] = runs.map(told);
      }
    }
    return { isAsStated, ...seen };
  } finally {
    stage.remove();
  }
}

/** Until what these jobs have begun has ended: a backup, or what is caught up on, takes its time on a busy machine. */
function settled(stage: Stage, jobs: readonly string[]): Promise<void> {
  return until(async () => (await stage.history(jobs)).every(({ endedAt }) => endedAt !== null), settlingMs);
}

/** When a job was made, and up to when its due times were looked at. */
function born(jobs: readonly StoredJob[], name: string): StoredJob {
  const job = jobs.find((each) => each.name === name);
  if (job === undefined) throw new Error(`The job ${name} is not there.`);
  return job;
}

const duesOf = (runs: readonly JobRun[]): string[] => runs.map(({ due }) => iso(due)).toSorted();

/** What the clock shows there, as `2026-03-29 02:30`. */
function shownAt(time: number, zone: string): string {
  return new Date(time).toLocaleString('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'short' });
}

/** Every minute of real time whose clock shows a multiple of so many minutes: in both hours, and none in a gap. */
function intervals(minutes: number, zone: string, from: number, to: number): string[] {
  const times: string[] = [];
  for (let time = Math.ceil(from / minuteMs) * minuteMs; time <= to; time += minuteMs) {
    if (Number(shownAt(time, zone).slice(-2)) % minutes === 0) times.push(new Date(time).toISOString());
  }
  return times;
}

/** The first minute of each day that shows this time, were it before `from`: the second is none. */
function timesOfDay(wanted: string, zone: string, from: number, to: number): string[] {
  const days = new Set([from, to].map((time) => firstOf(wanted, zone, time)));
  return [...days].filter((due) => due > from && due <= to).map(iso);
}

/** The first minute that shows this time on the day that has `within`; where none does, the first after it was past. */
function firstOf(wanted: string, zone: string, within: number): number {
  const due = `${shownAt(within, zone).slice(0, 10)} ${wanted}`;
  let time = Math.floor(within / minuteMs) * minuteMs - 26 * 60 * minuteMs;
  while (shownAt(time, zone) < due) time += minuteMs;
  return time;
}

const jumps = 'an hour ahead, an hour back, three days of sleep';

/** Friday, a few seconds to ten. */
const jumpsFrom = Date.parse('2026-07-10T09:59:50Z');

/** An hour ahead, an hour back, and three days of sleep with a Sunday in them; at the clock's own pace in between. */
async function jumping(services: object, preload: Readonly<Record<string, string>>) {
  const hourly = { type: 'cache-cleanup', cron: '0 * * * *' };
  const jobs = {
    ...off,
    cleanup: hourly,
    each: { ...hourly, catchUp: 'all' },
    none: { ...hourly, catchUp: 'skip' },
    'half-past': { type: 'cache-cleanup', cron: '30 10 * * *' },
    weekly: { type: 'backup', cron: '0 3 * * 0' },
  };
  const stage = new Stage({ ...services, schedule: { jobs } });
  const file = join(stage.folder, 'clock');
  const set = (time: number): void =>
    writeFileSync(file, `${Math.round((time - Date.now()) / 1000)}`.replace(/^\d/, '+$&'));
  try {
    // It may take its time to begin, while nothing is due.
    set(jumpsFrom - 30 * minuteMs);
    const scheduler = await stage.scheduler({
      ...preload,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: '1',
    });
    set(jumpsFrom);
    await wait(25_000);
    // Half past ten was jumped over; eleven is on time.
    set(Date.parse('2026-07-10T11:00:10Z'));
    await wait(20_000);
    // What ran is not run again …
    set(Date.parse('2026-07-10T10:00:30Z'));
    await wait(10_000);
    set(Date.parse('2026-07-10T10:29:50Z'));
    await wait(20_000);
    set(Date.parse('2026-07-10T10:59:50Z'));
    await wait(20_000);
    // … and what comes then is.
    set(Date.parse('2026-07-10T11:59:50Z'));
    await wait(20_000);
    set(Date.parse('2026-07-13T12:10:00Z'));
    await wait(30_000);
    await settled(stage, Object.keys(jobs));
    await scheduler.end('SIGTERM');
    const slept = Array.from({ length: 72 }, (_, i) => iso(Date.parse('2026-07-10T13:00:00Z') + i * 3_600_000));
    const awake = ['10', '11', '12'].map((hour) => `2026-07-10T${hour}:00:00.000Z`);
    const expected: Readonly<Record<string, readonly string[]>> = {
      cleanup: [...awake, iso(Date.parse('2026-07-13T12:00:00Z'))],
      each: [...awake, ...slept],
      none: awake,
      'half-past': ['2026-07-10T10:30:00.000Z', '2026-07-13T10:30:00.000Z'],
      weekly: ['2026-07-12T03:00:00.000Z'],
    };
    const seen: Record<string, unknown> = {};
    let isAsStated = true;
    for (const [job, times] of Object.entries(expected)) {
      const runs = await stage.history([job]);
      const got = duesOf(runs.filter(({ status }) => status === 'succeeded'));
      seen[job] = `${got.length} runs`;
      if (got.join() === times.join() && runs.length === got.length) continue;
      isAsStated = false;
      seen[`${job}_all`] = runs.map(told);
    }
    return { isAsStated, ...seen };
  } finally {
    stage.remove();
  }
}

/** A run, and why it isn't what it should be. */
const told = ({ due, status, cause, attempts, error, log }: JobRun): string =>
  [iso(due), status, cause, `${attempts} tries`, error ?? '', log].join(' ').trim();

const iso = (time: number): string => new Date(time).toISOString();
