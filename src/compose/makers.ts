import type { ApiKeys } from '../core/api-key.ts';
import { MizanError } from '../core/errors.ts';
import type { JobMaker } from '../core/jobs.ts';
import type { Revocations } from '../core/revocation.ts';

/**
 * What those who made jobs over the API may call today: a job outlives neither the key nor the tokens of its maker where
 * these were taken back. One that only expired was nobody's to misuse, and its jobs go on.
 */
export function makersOf({
  apiKeys,
  revocations,
}: {
  readonly apiKeys: Pick<ApiKeys, 'find'>;
  readonly revocations: Pick<Revocations, 'isRevoked'>;
}): (maker: JobMaker, tenant: string) => readonly string[] | null {
  return ({ subject, agents, scope, via, credential, at }, tenant) => {
    if (via === 'api-key') {
      const key = credential === null ? undefined : apiKeys.find(credential);
      if (key !== undefined && key.revokedAt === null) return key.agents;
    } else if (!revocations.isRevoked({ tenant, scope, subject, jti: credential, issuedAt: at })) return agents;
    throw new MizanError('forbidden', `What "${subject}" made this job with was revoked.`);
  };
}
