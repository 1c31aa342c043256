import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CatchUp } from '../core/jobs.ts';
import { timetableOf } from '../core/schedule.ts';
import { graceMs, planOf } from './policy.ts';

const hour = 3_600_000;
const day = 24 * hour;
const hourly = timetableOf({ kind: 'every', everyMs: hour });
const start = Date.UTC(2026, 0, 1);

const job = (catchUp: CatchUp, cursor: number, catchUpWindowMs = 7 * day) => ({ catchUp, cursor, catchUpWindowMs });

describe('what was due in three days of sleep', () => {
  const now = start + 3 * day + 10 * 60_000;

  test('runs once', () => {
    expect(planOf(job('once', start), hourly, now)).toMatchObject({
      due: [{ time: start + 3 * day, isMissed: true }],
      cursor: start + 3 * day,
      letGo: 71,
    });
  });

  test('runs each, oldest first, where all are wanted', () => {
    const { due, letGo } = planOf(job('all', start), hourly, now);
    expect(due.map(({ time }) => time)).toEqual(Array.from({ length: 72 }, (_, i) => start + (i + 1) * hour));
    expect(letGo).toBe(0);
  });

  test('runs not at all where it is to be skipped', () => {
    expect(planOf(job('skip', start), hourly, now)).toMatchObject({ due: [], cursor: start + 3 * day, letGo: 72 });
  });

  test('runs only within the window', () => {
    expect(planOf(job('all', start, 5 * hour), hourly, now).due).toHaveLength(5);
    expect(planOf(job('once', start, 60_000), hourly, now).due).toEqual([]);
  });

  test('is not made up for where another is due anyway', () => {
    const { due, letGo } = planOf(job('once', start), hourly, start + 3 * day + 5);
    expect(due).toEqual([{ time: start + 3 * day, isMissed: false }]);
    expect(letGo).toBe(71);
  });
});

test('what is half a minute late is on time for every policy, each of them', () => {
  const each = timetableOf({ kind: 'every', everyMs: 1000 });
  for (const catchUp of ['once', 'all', 'skip'] as const) {
    const { due, letGo } = planOf(job(catchUp, start), each, start + graceMs);
    expect(due.map(({ time }) => time)).toEqual(Array.from({ length: 30 }, (_, i) => start + (i + 1) * 1000));
    expect(letGo).toBe(0);
  }
});

test('a clock that steps back an hour runs nothing twice, and one that was a year ahead goes on from now', () => {
  expect(planOf(job('all', start + hour), hourly, start)).toMatchObject({ due: [], cursor: null });
  expect(planOf(job('all', start + 365 * day), hourly, start)).toMatchObject({ due: [], cursor: start, isBack: true });
});

test('however time goes on, no due time is planned twice, and with `all` none is left out', () => {
  const steps = fc.array(fc.integer({ min: -2 * hour, max: 10 * hour }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 120 }), (jumps, minutes) => {
      const timetable = timetableOf({ kind: 'every', everyMs: minutes * 60_000 });
      let now = start;
      let latest = start;
      let cursor = start;
      const planned: number[] = [];
      for (const jump of jumps) {
        now += jump;
        const plan = planOf(job('all', cursor, 365 * day), timetable, now);
        planned.push(...plan.due.map(({ time }) => time));
        cursor = plan.cursor ?? cursor;
        if (plan.isBack) return;
        latest = Math.max(latest, now);
      }
      const expected: number[] = [];
      for (let time = timetable.next(start) ?? 0; time <= latest; time = timetable.next(time) ?? 0) expected.push(time);
      expect(planned).toEqual(expected);
    }),
  );
});
