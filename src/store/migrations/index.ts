import type { Migration } from 'kysely/migration';
import { requestsAndKeys } from './0001-requests-and-keys.ts';
import { attempts } from './0002-attempts.ts';
import { identity } from './0003-identity.ts';
import { keys } from './0004-keys.ts';
import { audit } from './0005-audit.ts';
import { payloadsAndRollups } from './0006-payloads-and-rollups.ts';
import { limits } from './0008-limits.ts';
import { jobs } from './0009-jobs.ts';
import { reachAndShares } from './0010-reach-and-shares.ts';
import { queued } from './0012-queued.ts';
import { modelHealth } from './0015-model-health.ts';
import { prices } from './0016-prices.ts';
import { oldPeriods } from './0017-old-periods.ts';
import { unfinishedPurges } from './0018-unfinished-purges.ts';
import { sealedJobs } from './0019-sealed-jobs.ts';
import { auditCopies } from './0020-audit-copies.ts';
import { auditCopiesByTime } from './0021-audit-copies-by-time.ts';

/** In their order; a migration that has been released is never changed. */
export const migrations: Readonly<Record<string, Migration>> = {
  '0001-requests-and-keys': requestsAndKeys,
  '0002-attempts': attempts,
  '0003-identity': identity,
  '0004-keys': keys,
  '0005-audit': audit,
  '0006-payloads-and-rollups': payloadsAndRollups,
  '0008-limits': limits,
  '0009-jobs': jobs,
  '0010-reach-and-shares': reachAndShares,
  '0012-queued': queued,
  '0015-model-health': modelHealth,
  '0016-prices': prices,
  '0017-old-periods': oldPeriods,
  '0018-unfinished-purges': unfinishedPurges,
  '0019-sealed-jobs': sealedJobs,
  '0020-audit-copies': auditCopies,
  '0021-audit-copies-by-time': auditCopiesByTime,
};
