import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BudgetPeriod } from './limit.ts';
import { budgetPeriods } from './limit.ts';
import { periodAt } from './period.ts';

const at = (text: string): number => Date.parse(text);

describe('a period', () => {
  test.each([
    ['hour in UTC', '2026-03-10T10:20:00Z', '2026-03-10T10:00:00Z', '2026-03-10T11:00:00Z'],
    ['hour in Asia/Kolkata', '2026-03-10T10:20:00Z', '2026-03-10T09:30:00Z', '2026-03-10T10:30:00Z'],
    ['day in Asia/Riyadh', '2026-03-10T22:00:00Z', '2026-03-10T21:00:00Z', '2026-03-11T21:00:00Z'],
    ['week in UTC', '2026-03-15T23:59:59Z', '2026-03-09T00:00:00Z', '2026-03-16T00:00:00Z'],
    ['week in Asia/Riyadh', '2026-03-15T22:00:00Z', '2026-03-15T21:00:00Z', '2026-03-22T21:00:00Z'],
    ['month in America/New_York', '2026-03-01T03:00:00Z', '2026-02-01T05:00:00Z', '2026-03-01T05:00:00Z'],
    ['month in UTC', '2026-12-31T23:59:59Z', '2026-12-01T00:00:00Z', '2027-01-01T00:00:00Z'],
    // Clocks go forward on 2026-03-29 and back on 2026-10-25.
    ['day in Europe/Berlin', '2026-03-29T12:00:00Z', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z'],
    ['day in Europe/Berlin', '2026-10-25T12:00:00Z', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z'],
    // The hour from two to three is there twice, and is two.
    ['hour in Europe/Berlin', '2026-10-24T23:30:00Z', '2026-10-24T23:00:00Z', '2026-10-25T00:00:00Z'],
    ['hour in Europe/Berlin', '2026-10-25T00:00:00Z', '2026-10-25T00:00:00Z', '2026-10-25T01:00:00Z'],
    ['hour in Europe/Berlin', '2026-10-25T01:00:00Z', '2026-10-25T01:00:00Z', '2026-10-25T02:00:00Z'],
    ['hour in America/New_York', '2026-11-01T05:59:59Z', '2026-11-01T05:00:00Z', '2026-11-01T06:00:00Z'],
    // From two o’clock back to half past one, and from two to half past.
    ['hour in Australia/Lord_Howe', '2026-04-04T14:59:59Z', '2026-04-04T14:00:00Z', '2026-04-04T15:00:00Z'],
    ['hour in Australia/Lord_Howe', '2026-04-04T15:10:00Z', '2026-04-04T15:00:00Z', '2026-04-04T15:30:00Z'],
    ['hour in Australia/Lord_Howe', '2026-10-03T15:40:00Z', '2026-10-03T15:30:00Z', '2026-10-03T16:00:00Z'],
  ] as const)('by the %s: %s lies between %s and %s', (which, now, start, end) => {
    const [per, timezone] = which.split(' in ') as [BudgetPeriod, string];
    expect(periodAt(at(now), per, timezone)).toEqual({ start: at(start), end: at(end) });
  });

  test('in total has no end', () => {
    expect(periodAt(at('2026-03-10T10:20:00Z'), 'total', 'UTC')).toEqual({ start: 0, end: Infinity });
  });

  test('of an hour holds the moments of no other, around every change of the clocks', () => {
    for (const [timezone, change] of [
      ['Europe/Berlin', '2026-03-29T01:00:00Z'],
      ['Europe/Berlin', '2026-10-25T01:00:00Z'],
      ['America/New_York', '2026-11-01T06:00:00Z'],
      ['Australia/Lord_Howe', '2026-04-04T15:00:00Z'],
      ['Australia/Lord_Howe', '2026-10-03T15:30:00Z'],
    ] as const) {
      let before = periodAt(at(change) - 3 * 3_600_000, 'hour', timezone);
      for (let now = at(change) - 3 * 3_600_000; now < at(change) + 3 * 3_600_000; now += 60_000) {
        const period = periodAt(now, 'hour', timezone);
        expect(period.start).toBe(now < before.end ? before.start : before.end);
        expect(period.end).toBe(now < before.end ? before.end : period.end);
        before = period;
      }
    }
  });

  test('holds its moment, and the next one begins where it ends, wherever and whenever', () => {
    const moment = fc.integer({ min: at('2000-01-01T00:00:00Z'), max: at('2060-01-01T00:00:00Z') });
    const zone = fc.constantFrom('UTC', 'Asia/Riyadh', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe');
    fc.assert(
      fc.property(moment, zone, fc.constantFrom(...budgetPeriods), (now, timezone, per) => {
        const { start, end } = periodAt(now, per, timezone);
        expect(start).toBeLessThanOrEqual(now);
        expect(end).toBeGreaterThan(now);
        const next = Number.isFinite(end) ? periodAt(end, per, timezone).start : end;
        expect(next).toBe(end);
      }),
      { numRuns: 2000 },
    );
  });
});
