import { z } from 'zod';
import { budgetPeriods, maxBudgetUsd } from '../../core/limit.ts';

/** An amount that a budget can hold to the last digit. */
export const usd = z
  .number()
  .refine((given) => given > 0 && given <= maxBudgetUsd && Number(given.toFixed(6)) === given);

/** An IANA name. */
export const timezone = z.string().refine(isTimeZone);

export const budgetExpectations = {
  usd: `must be US dollars above 0, up to ${maxBudgetUsd}, with at most six decimals`,
  per: `must be one of ${budgetPeriods.join(', ')}`,
  timezone: 'must be a time zone such as "Asia/Riyadh", or null for UTC',
};

function isTimeZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
