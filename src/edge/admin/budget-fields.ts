import { z } from 'zod';
import { budgetPeriods, isBudgetUsd, maxBudgetUsd } from '../../core/limit.ts';
import { isTimeZone } from '../../core/period.ts';

/** An amount that a budget can hold to the last digit. */
export const usd = z.number().refine(isBudgetUsd);

/** An IANA name. */
export const timezone = z.string().refine(isTimeZone);

export const budgetExpectations = {
  usd: `must be US dollars above 0, up to ${maxBudgetUsd}, with at most six decimals`,
  per: `must be one of ${budgetPeriods.join(', ')}`,
  timezone: 'must be a time zone such as "Asia/Riyadh", or null for UTC',
};
