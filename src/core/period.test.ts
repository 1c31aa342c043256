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
  ] as const)('by the %s: %s lies between %s and %s', (which, now, start, end) => {
    const [per, timezone] = which.split(' in ') as [BudgetPeriod, string];
    expect(periodAt(at(now), per, timezone)).toEqual({ start: at(start), end: at(end) });
  });

  test('in total has no end', () => {
    expect(periodAt(at('2026-03-10T10:20:00Z'), 'total', 'UTC')).toEqual({ start: 0, end: Infinity });
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
