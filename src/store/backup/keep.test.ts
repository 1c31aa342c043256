import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { KeepRule } from '../../core/backups.ts';
import type { StoredBackup } from './contract.ts';
import { dispensable } from './keep.ts';
import { backupName, timeOfName } from './name.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

function made(createdAt: number): StoredBackup {
  return { name: backupName(createdAt), createdAt, bytes: 1 };
}

/** Those that stay. */
function kept(backups: readonly StoredBackup[], rule: KeepRule): StoredBackup[] {
  const gone = new Set(dispensable(backups, rule));
  return backups.filter((backup) => !gone.has(backup));
}

const anyBackups = fc
  .array(fc.integer({ min: 0, max: 3 * 365 * 24 }), { maxLength: 60 })
  .map((hours) => hours.map((hour) => made(Date.UTC(2026, 0) + hour * hourMs)));

const anyCount = fc.nat({ max: 12 });
const anyRule: fc.Arbitrary<KeepRule> = fc.oneof(
  fc.integer({ min: 1, max: 20 }),
  fc.record({ daily: anyCount, weekly: anyCount, monthly: anyCount }),
);

test('the newest stays under every rule', () => {
  fc.assert(
    fc.property(anyBackups, anyRule, (backups, rule) => {
      fc.pre(backups.length > 0);
      const newest = Math.max(...backups.map(({ createdAt }) => createdAt));
      expect(kept(backups, rule).some(({ createdAt }) => createdAt === newest)).toBe(true);
    }),
  );
});

test('no more stay than the rule says, and what stays would stay again', () => {
  fc.assert(
    fc.property(anyBackups, anyRule, (backups, rule) => {
      const stay = kept(backups, rule);
      const most = typeof rule === 'number' ? rule : Math.max(1, rule.daily + rule.weekly + rule.monthly);
      expect(stay.length).toBeLessThanOrEqual(most);
      expect(dispensable(stay, rule)).toEqual([]);
    }),
  );
});

test('a number keeps the newest so many, in whatever order they are given', () => {
  fc.assert(
    fc.property(anyBackups, fc.integer({ min: 1, max: 20 }), (backups, count) => {
      const times = (list: readonly StoredBackup[]) => list.map(({ createdAt }) => createdAt).toSorted((a, b) => b - a);
      expect(times(kept(backups, count))).toEqual(times(backups).slice(0, count));
    }),
  );
});

test('a year of a backup each night leaves seven days, four weeks and twelve months', () => {
  let there: StoredBackup[] = [];
  const first = Date.UTC(2026, 0, 1, 3);
  for (let day = 0; day < 365; day++) {
    there = kept([...there, made(first + day * dayMs)], { daily: 7, weekly: 4, monthly: 12 });
  }
  const days = there.map(({ createdAt }) => new Date(createdAt).toISOString().slice(0, 10)).toSorted();
  // The last of each month, Sundays, and the last seven days.
  const stayed =
    '01-31 02-28 03-31 04-30 05-31 06-30 07-31 08-31 09-30 10-31 11-30 ' +
    '12-13 12-20 12-25 12-26 12-27 12-28 12-29 12-30 12-31';
  expect(days.map((day) => day.slice(5)).join(' ')).toBe(stayed);
});

test('a backup’s name says when it was made, and no other name does', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 250_000_000 }), (seconds) => {
      expect(timeOfName(backupName(seconds * 1000))).toBe(seconds * 1000);
    }),
  );
  for (const name of ['mizan.db', '.mizan-2026-11-24T19-34-09Z-3fa2c1.backup.partial', 'mizan-x.backup', '']) {
    expect(timeOfName(name)).toBeUndefined();
  }
});
