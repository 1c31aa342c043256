import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { timetableOf } from './schedule.ts';

const minuteMs = 60_000;

/** When clocks go forward and back. */
const edges: readonly (readonly [zone: string, at: string])[] = [
  ['Europe/Berlin', '2026-03-29T01:00:00Z'],
  ['Europe/Berlin', '2026-10-25T01:00:00Z'],
  ['America/New_York', '2026-03-08T07:00:00Z'],
  ['America/New_York', '2026-11-01T06:00:00Z'],
  // By half an hour.
  ['Australia/Lord_Howe', '2026-10-03T15:30:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00:00Z'],
  ['Pacific/Apia', '2020-09-26T14:00:00Z'],
  ['Pacific/Apia', '2021-04-03T14:00:00Z'],
  // At midnight.
  ['Asia/Beirut', '2026-03-28T22:00:00Z'],
  ['Asia/Beirut', '2026-10-24T21:00:00Z'],
  // By two hours.
  ['Antarctica/Troll', '2026-03-29T01:00:00Z'],
  ['Antarctica/Troll', '2026-10-25T01:00:00Z'],
];

const formats = new Map<string, Intl.DateTimeFormat>();

/** What a clock shows there, as a calendar has it, in ms. */
function shownAt(time: number, zone: string): number {
  let format = formats.get(zone);
  format ??= new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' });
  formats.set(zone, format);
  return Date.parse(`${format.format(time).replace(' ', 'T')}Z`);
}

/** The minutes around an edge, each with what the clock shows. */
function minutesAround([zone, at]: (typeof edges)[number]): { readonly time: number; readonly shown: number }[] {
  const from = Date.parse(at) - 5 * 60 * minuteMs;
  return Array.from({ length: 10 * 60 }, (_, i) => {
    const time = from + i * minuteMs;
    return { time, shown: shownAt(time, zone) };
  });
}

function dueBetween(cron: string, zone: string, from: number, to: number): string[] {
  const timetable = timetableOf({ kind: 'cron', cron, timezone: zone });
  const times: string[] = [];
  for (let time = timetable.next(from - 1000); time !== null && time <= to; time = timetable.next(time)) {
    times.push(new Date(time).toISOString());
  }
  return times;
}

describe.each(edges)('around the edge of %s at %s', (...edge) => {
  const [zone] = edge;
  const minutes = minutesAround(edge);
  const from = minutes[0]!.time;
  const to = minutes.at(-1)!.time;

  test('a time of day is due when the clock shows it first, or as soon as it is past it', () => {
    for (let of = 0; of < 24 * 60; of += 15) {
      const dayOf = (shown: number): number => shown - (shown % 86_400_000);
      const days = new Set(minutes.map(({ shown }) => dayOf(shown)));
      const expected = [...days].flatMap((day) => {
        const wanted = day + of * minuteMs;
        const i = minutes.findIndex(({ shown }) => shown >= wanted);
        // What lay before the first minute is not of these.
        return i > 0 || minutes[0]!.shown === wanted ? [new Date(minutes[i]!.time).toISOString()] : [];
      });
      const cron = `${of % 60} ${Math.floor(of / 60)} * * *`;
      expect([cron, ...dueBetween(cron, zone, from, to)]).toEqual([cron, ...new Set(expected)]);
    }
  });

  test('a job at intervals is due each time that the clock shows one of its times', () => {
    for (const [cron, every] of [
      ['* * * * *', 1],
      ['*/15 * * * *', 15],
      ['0 * * * *', 60],
    ] as const) {
      const shown = minutes.filter((each) => (each.shown / minuteMs) % every === 0);
      expect(dueBetween(cron, zone, from, to)).toEqual(shown.map(({ time }) => new Date(time).toISOString()));
    }
  });
});

test('what comes next is later, what was last is not, and both agree, at every moment', () => {
  const field = fc.constantFrom('*', '0', '30', '*/15', '15,45');
  const hour = fc.constantFrom('*', '0', '1', '2', '3', '*/2', '1-3', '1,2,23');
  const day = fc.constantFrom('* * *', '* * 0', '1,28 * *', 'L * *', '* * 0#L');
  const moment = fc.tuple(fc.constantFrom(...edges), fc.integer({ min: -400_000, max: 400_000 }));
  fc.assert(
    fc.property(field, hour, day, moment, (minute, at, days, [[timezone, edge], seconds]) => {
      const timetable = timetableOf({ kind: 'cron', cron: `${minute} ${at} ${days}`, timezone });
      const now = Date.parse(edge) + seconds * 1000;
      const next = timetable.next(now)!;
      const last = timetable.last(now)!;
      expect(next).toBeGreaterThan(now);
      expect(last).toBeLessThanOrEqual(now);
      expect(timetable.next(last)).toBe(next);
      expect(timetable.last(next)).toBe(next);
      expect(timetable.last(next - 1)).toBe(last);
    }),
    { numRuns: 500 },
  );
});
