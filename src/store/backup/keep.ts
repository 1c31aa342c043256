import type { KeepRule } from '../../core/backups.ts';
import type { StoredBackup } from './contract.ts';
import { newestFirst } from './name.ts';

const dayMs = 86_400_000;

/** Periods in UTC, by a number that grows with each. Weeks begin on Monday. */
const periods = {
  daily: (time: number) => Math.floor(time / dayMs),
  // The epoch was a Thursday.
  weekly: (time: number) => Math.floor((time / dayMs + 3) / 7),
  monthly: (time: number) => {
    const date = new Date(time);
    return date.getUTCFullYear() * 12 + date.getUTCMonth();
  },
} as const;

/** Those that a rule lets go. The newest is never among them. */
export function dispensable(backups: readonly StoredBackup[], rule: KeepRule): StoredBackup[] {
  const sorted = backups.toSorted(newestFirst);
  const kept = new Set(sorted.slice(0, 1));
  if (typeof rule === 'number') for (const backup of sorted.slice(0, rule)) kept.add(backup);
  else for (const each of ['daily', 'weekly', 'monthly'] as const) keepByPeriod(sorted, kept, each, rule[each]);
  return sorted.filter((backup) => !kept.has(backup));
}

function keepByPeriod(
  sorted: readonly StoredBackup[],
  kept: Set<StoredBackup>,
  each: keyof typeof periods,
  count: number,
): void {
  const seen = new Set<number>();
  for (const backup of sorted) {
    const period = periods[each](backup.createdAt);
    if (seen.has(period)) continue;
    if (seen.size >= count) return;
    seen.add(period);
    kept.add(backup);
  }
}
