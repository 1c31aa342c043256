import type { ApiKeys } from '../core/api-key.ts';
import { keyState } from '../core/api-key.ts';
import { SetupError } from '../core/errors.ts';
import { isLoopback } from '../core/loopback.ts';
import { everyTenant } from '../core/request-record.ts';

/** What says who may come. */
export interface ConfiguredIdentity {
  readonly jwt: { readonly secret: unknown; readonly generated: 'loopback' | 'anywhere' };
  readonly issuers: readonly unknown[];
  readonly apiKeys: Pick<ApiKeys, 'list'>;
  /** In ms since the Unix epoch. */
  readonly now: number;
}

/**
 * While nobody has said who may come, Mizan serves this machine only.
 * @throws SetupError where `host` is more than that, and neither a secret, an issuer nor an API key is there.
 */
export function checkReach(host: string, identity: ConfiguredIdentity): void {
  const { jwt, issuers, apiKeys, now } = identity;
  if (isLoopback(host) || jwt.generated === 'anywhere' || jwt.secret !== null || issuers.length > 0) return;
  if (apiKeys.list(everyTenant).some((key) => keyState(key, now) === 'active')) return;
  throw new SetupError(
    `Mizan listens on ${host} only where somebody said who may come: make an API key (mizan keys create), set ` +
      'MIZAN_JWT_SECRET or auth.jwt.secret, list auth.issuers, or, to go with the secret that Mizan made itself, set ' +
      'auth.jwt.generated (MIZAN_GENERATED_SECRET) to "anywhere". Or listen on 127.0.0.1.',
  );
}
