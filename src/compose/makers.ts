import type { Commission } from '../core/agent-runs.ts';
import type { ApiKeys } from '../core/api-key.ts';
import { MizanError } from '../core/errors.ts';
import type { JobMaker } from '../core/jobs.ts';
import type { Revocations } from '../core/revocation.ts';

/**
 * What those who made jobs over the API may call today, and by what limits they are held: a job outlives neither the key nor the tokens of its maker where
 * these were taken back. One that only expired was nobody's to misuse, and its jobs go on.
 */
export function makersOf({
  apiKeys,
  revocations,
}: {
  readonly apiKeys: Pick<ApiKeys, 'find'>;
  readonly revocations: Pick<Revocations, 'isRevoked'>;
}): (maker: JobMaker, tenant: string) => Commission {
  return ({ subject, agents, scope, via, credential, at }, tenant) => {
    if (via === 'api-key') {
      const key = credential === null ? undefined : apiKeys.find(credential);
      if (key !== undefined && key.revokedAt === null) {
        return { agents: key.agents, countedAs: { subject: key.name, key: key.id, limits: key.limits } };
      }
    } else if (!revocations.isRevoked({ tenant, scope, subject, jti: credential, issuedAt: at })) {
      return { agents, countedAs: { subject, key: null } };
    }
    throw new MizanError('forbidden', `What "${subject}" made this job with was revoked.`);
  };
}
