import type { ApiKeys, KeyLimits } from '../core/api-key.ts';
import { everyTenant } from '../core/request-record.ts';
import type { Limiter } from '../flow/limits/limiter.ts';
import type { Store } from '../store/index.ts';
import type { Log } from '../telemetry/log.ts';

/** How often it is looked how many there are, in ms. */
const lookMs = 5000;

interface Parts {
  readonly store: Pick<Store, 'gateways'> & { readonly apiKeys: Pick<ApiKeys, 'list'> };
  readonly limiter: Pick<Limiter, 'rules'>;
  /** Whether machines count together. */
  readonly isShared: boolean;
  readonly log: Log;
}

/** Whether this process counts limits apart from others on the same database, though somebody takes them for one. */
export interface GatewayWatch {
  readonly isApart: boolean;
  stop(): void;
}

/** Looks now and then whether there are other gateways that limits are not shared with, and says so. */
export function watchGateways({ store, limiter, isShared, log }: Parts): GatewayWatch {
  if (isShared) return { isApart: false, stop() {} };
  const watch = { isApart: false, stop: (): void => clearInterval(timer) };
  const look = async (): Promise<void> => {
    const gateways = await store.gateways();
    const isApart = gateways > 1 && hasLimits({ limiter, store });
    if (isApart === watch.isApart) return;
    watch.isApart = isApart;
    if (isApart) log.warn({ event: 'limits_counted_apart', gateways });
    else log.info({ event: 'limits_counted_apart_over', gateways });
  };
  // The store says itself that its database is away.
  const tryToLook = (): void => void look().catch(() => undefined);
  const timer = setInterval(tryToLook, lookMs).unref();
  tryToLook();
  return watch;
}

/** Budgets are not among them: what all have paid is read from the database. */
function hasLimits({ limiter, store }: Pick<Parts, 'limiter' | 'store'>): boolean {
  if (limiter.rules.limits.length > 0) return true;
  return store.apiKeys.list(everyTenant).some(({ revokedAt, limits }) => revokedAt === null && isLimited(limits));
}

function isLimited({ rpm, tpm, maxInFlight }: KeyLimits): boolean {
  return rpm !== null || tpm !== null || maxInFlight !== null;
}
