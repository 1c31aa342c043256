import type { Grant, Principal } from '../core/principal.ts';
import { includesRole } from '../core/principal.ts';

/**
 * Why a principal can't give `grant` to anybody, so that nobody gives more than they have; `undefined` where it may.
 * The tenant is decided where the request's is.
 */
export function grantRefusal(giver: Principal, grant: Omit<Grant, 'tenant'>): string | undefined {
  if (!includesRole(giver.role, grant.role)) return `A ${giver.role} can't give the role ${grant.role}.`;
  if (grant.scope === 'any' && giver.scope !== 'any') return 'Only an identity for every tenant can give that.';
  if (!isWithin(grant.agents, giver.agents)) return 'This identity can give only the agents that it may call itself.';
  const models = modelsOf(giver);
  if (!isWithin(modelsOf(grant), models)) return 'This identity can give only the models that it may call itself.';
  return undefined;
}

/** The models that may be called directly; `null` for all. */
function modelsOf({ agents, models }: Pick<Grant, 'agents' | 'models'>): readonly string[] | null {
  return models ?? (agents === null ? null : []);
}

/** `null` is everything. */
function isWithin(part: readonly string[] | null, whole: readonly string[] | null): boolean {
  return whole === null || (part !== null && part.every((name) => whole.includes(name)));
}
