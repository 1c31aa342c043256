import { describe, expect, test } from 'vitest';
import { inWords } from './schedule-words.ts';
import type { Schedule } from './schedule.ts';
import { atOf, cronProblem, everyOf, timetableOf } from './schedule.ts';

/** The next due times after `from`. */
function next(schedule: Schedule, from: string, count: number): string[] {
  const timetable = timetableOf(schedule);
  const times: string[] = [];
  let time = timetable.next(Date.parse(from));
  for (; time !== null && times.length < count; time = timetable.next(time)) {
    times.push(new Date(time).toISOString().replace('.000Z', 'Z'));
  }
  return times;
}

const cron = (expression: string, timezone = 'UTC'): Schedule => ({ kind: 'cron', cron: expression, timezone });

describe('a time of day', () => {
  test.each<[string, string, string, string, string[]]>([
    // The clock goes from 2:00 to 3:00.
    ['Berlin', 'Europe/Berlin', '30 2 * * *', '2026-03-28T12:00:00Z', ['2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z']],
    [
      'New York',
      'America/New_York',
      '30 2 * * *',
      '2026-03-07T12:00:00Z',
      ['2026-03-08T07:00:00Z', '2026-03-09T06:30:00Z'],
    ],
    // From 2:00 to 2:30.
    [
      'Lord Howe',
      'Australia/Lord_Howe',
      '15 2 * * *',
      '2026-10-03T00:00:00Z',
      ['2026-10-03T15:30:00Z', '2026-10-04T15:15:00Z'],
    ],
    // From midnight to 1:00.
    ['Beirut', 'Asia/Beirut', '0 0 * * *', '2026-03-28T12:00:00Z', ['2026-03-28T22:00:00Z', '2026-03-29T21:00:00Z']],
    [
      'a list',
      'Europe/Berlin',
      '30 2,14 * * *',
      '2026-03-28T14:00:00Z',
      ['2026-03-29T01:00:00Z', '2026-03-29T12:30:00Z'],
    ],
  ])('that the clock leaves out is due right after the gap (%s)', (...[, zone, expression, from, times]) => {
    expect(next(cron(expression, zone), from, 2)).toEqual(times);
  });

  test.each<[string, string, string, string, string[]]>([
    ['Berlin', 'Europe/Berlin', '30 2 * * *', '2026-10-24T12:00:00Z', ['2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z']],
    [
      'New York',
      'America/New_York',
      '30 1 * * *',
      '2026-10-31T12:00:00Z',
      ['2026-11-01T05:30:00Z', '2026-11-02T06:30:00Z'],
    ],
    [
      'Lord Howe',
      'Australia/Lord_Howe',
      '45 1 * * *',
      '2026-04-03T20:00:00Z',
      ['2026-04-04T14:45:00Z', '2026-04-05T15:15:00Z'],
    ],
    ['Beirut', 'Asia/Beirut', '30 23 * * *', '2026-10-24T12:00:00Z', ['2026-10-24T20:30:00Z', '2026-10-25T21:30:00Z']],
  ])('that comes twice is due the first time, and not again (%s)', (...[, zone, expression, from, times]) => {
    expect(next(cron(expression, zone), from, 2)).toEqual(times);
  });

  test('of a day that a place leaves out is not due that day (Apia, 30 December 2011)', () => {
    expect(next(cron('0 12 * * *', 'Pacific/Apia'), '2011-12-29T00:00:00Z', 2)).toEqual([
      '2011-12-29T22:00:00Z',
      '2011-12-30T22:00:00Z',
    ]);
  });
});

describe('an interval', () => {
  test('goes on at its pace through the hour that is left out, and through both that come twice', () => {
    expect(next(cron('*/30 * * * *', 'Europe/Berlin'), '2026-03-29T00:20:00Z', 3)).toEqual([
      '2026-03-29T00:30:00Z',
      '2026-03-29T01:00:00Z',
      '2026-03-29T01:30:00Z',
    ]);
    expect(next(cron('*/30 * * * *', 'Europe/Berlin'), '2026-10-25T00:00:00Z', 4)).toEqual([
      '2026-10-25T00:30:00Z',
      '2026-10-25T01:00:00Z',
      '2026-10-25T01:30:00Z',
      '2026-10-25T02:00:00Z',
    ]);
  });

  test('of `every` is the same on every machine, whenever it was started', () => {
    const every: Schedule = { kind: 'every', everyMs: 90_000 };
    expect(next(every, '2026-01-01T00:00:01Z', 2)).toEqual(['2026-01-01T00:01:30Z', '2026-01-01T00:03:00Z']);
    expect(timetableOf(every).last(Date.parse('2026-01-01T00:01:30Z'))).toBe(Date.parse('2026-01-01T00:01:30Z'));
  });
});

test('the last due time up to a moment is the moment itself, where that is one', () => {
  for (const schedule of [
    cron('*/5 * * * *'),
    cron('0 3 * * 0', 'Asia/Riyadh'),
    cron('15 30 2 * * *', 'Europe/Berlin'),
  ]) {
    const timetable = timetableOf(schedule);
    let time = Date.parse('2026-03-01T00:00:00Z');
    for (let i = 0; i < 200; i++) {
      const due = timetable.next(time) ?? 0;
      expect(timetable.last(due)).toBe(due);
      expect(timetable.last(due + 999)).toBe(due);
      expect(timetable.next(timetable.last(due - 1) ?? 0)).toBe(due);
      time = due;
    }
  }
});

test('a moment is read in the job’s time zone unless it has an offset', () => {
  const shown = (written: string, zone: string): string | undefined => {
    const at = atOf(written, zone);
    return at === undefined ? undefined : new Date(at).toISOString();
  };
  expect(shown('2026-12-24T18:00', 'Asia/Riyadh')).toBe('2026-12-24T15:00:00.000Z');
  expect(shown('2026-12-24 18:00:30', 'UTC')).toBe('2026-12-24T18:00:30.000Z');
  expect(shown('2026-12-24', 'Europe/Berlin')).toBe('2026-12-23T23:00:00.000Z');
  expect(shown('2026-12-24T18:00:00+03:00', 'UTC')).toBe('2026-12-24T15:00:00.000Z');
  for (const none of ['tomorrow', '2026-13-01', '18:00', '', '2026-02-30T00:00:00Z'])
    expect(shown(none, 'UTC')).toBe(undefined);
  expect(timetableOf({ kind: 'at', at: 5000 }).next(5000)).toBe(null);
});

test('an interval of less than a second is none', () => {
  expect(['1s', '90', '2h', '7d'].map(everyOf)).toEqual([1000, 90_000, 7_200_000, 604_800_000]);
  expect(['0s', '0.5s', '500ms', '', '-1s', 'hourly'].map(everyOf)).toEqual(Array(6).fill(undefined));
});

test('seconds are optional, and never firing is a problem with its own words', () => {
  expect(cronProblem('*/5 * * * * *')).toBe(undefined);
  expect(cronProblem('0 0 30 2 *')).toBe(
    'expected a cron that fires; this one never does ("0 0 L 2 *" does, on the month’s last day)',
  );
});

test.each<[Schedule, string, string]>([
  [cron('* * * * *'), 'every minute', 'كل دقيقة'],
  [cron('*/15 * * * *'), 'every 15 minutes', 'كل 15 دقيقة'],
  [cron('*/5 * * * * *'), 'every 5 seconds', 'كل 5 ثوانٍ'],
  [cron('0 */2 * * *'), 'every 2 hours', 'كل ساعتين'],
  [cron('0 * * * *'), 'every hour, on the hour', 'كل ساعة عند تمامها'],
  [cron('30 * * * *'), 'every hour, at minute 30', 'كل ساعة عند الدقيقة 30'],
  [cron('0 3 * * 0', 'Asia/Riyadh'), 'every Sunday at 03:00 (Asia/Riyadh)', 'كل يوم أحد الساعة 03:00 (Asia/Riyadh)'],
  [cron('30 8 * * mon-fri'), 'Monday to Friday at 08:30', 'من الاثنين إلى الجمعة الساعة 08:30'],
  [cron('0 9 * * 1,4'), 'every Monday and every Thursday at 09:00', 'كل يوم اثنين وكل يوم خميس الساعة 09:00'],
  [cron('30 2,14 * * *'), 'every day at 02:30 and 14:30', 'كل يوم الساعة 02:30 و14:30'],
  [cron('0 4 1 * *'), 'on day 1 of every month at 04:00', 'اليوم 1 من كل شهر الساعة 04:00'],
  [cron('0 4 L * *'), 'on the last day of every month at 04:00', 'اليوم الأخير من كل شهر الساعة 04:00'],
  [cron('@weekly'), 'every Sunday at 00:00', 'كل يوم أحد الساعة 00:00'],
  [cron('0 9 * * 5#2'), 'by the cron 0 9 * * 5#2', 'حسب تعبير cron ‏0 9 * * 5#2'],
  [cron('*/7 * * * *'), 'by the cron */7 * * * *', 'حسب تعبير cron ‏*/7 * * * *'],
  [{ kind: 'every', everyMs: 90_000 }, 'every 90 seconds', 'كل 90 ثانية'],
  [{ kind: 'every', everyMs: 3 * 86_400_000 }, 'every 3 days', 'كل 3 أيام'],
])('%j is said as people say it', (schedule, english, arabic) => {
  expect(inWords(schedule, 'en')).toBe(english);
  expect(inWords(schedule, 'ar')).toBe(arabic);
});
