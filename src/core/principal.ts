import type { KeyLimits } from './api-key.ts';
import type { Priority } from './priority.ts';

/** Roles, least first. Each may do what the ones before it may. */
export const roles = ['viewer', 'member', 'operator', 'admin'] as const;

export type Role = (typeof roles)[number];

/** How every tenant is named where a tenant's name is expected; so no tenant has this name. */
export const everyTenantName = '*';

/** Whose everything is that is nobody's in particular: Mizan's own. So no identity is of this tenant. */
export const systemTenantName = 'system';

/** Whether an identity may be of that tenant: neither of all of them, nor Mizan itself. */
export function isTenantName(name: string): boolean {
  return name !== everyTenantName && name !== systemTenantName;
}

/** What an identity may be given. */
export interface Grant {
  readonly tenant: string;
  readonly role: Role;
  /** The agents this identity may call; `null` for all. */
  readonly agents: readonly string[] | null;
  /** The models it may call directly; `null` for all where it may call all agents, else for none. */
  readonly models: readonly string[] | null;
  /** Whose administration its role reaches: its own tenant's, or any. What it runs is always its own tenant's. */
  readonly scope: 'own' | 'any';
}

/** Who limits count a request for, where somebody has it sent by another: who made a job. */
export interface CountedAs {
  readonly subject: string;
  /** The id of the API key that it was made with; `null` where that was a token. */
  readonly key: string | null;
  /** The API key's own. */
  readonly limits?: KeyLimits | undefined;
}

/** Who is asking. Made by `edge/auth`, and by nothing else. */
export interface Principal extends Grant {
  readonly subject: string;
  /** What proved the identity. */
  readonly via: 'jwt' | 'api-key' | 'job';
  /** The id of the API key, or the token's `jti`; `null` for a token that has none. */
  readonly credential: string | null;
  /** The API key's own. */
  readonly limits?: KeyLimits | undefined;
  /** Absent where it is counted as who it is. */
  readonly countedAs?: CountedAs | undefined;
  /** The token's own; see `priorityOf`. */
  readonly priority?: Priority | undefined;
}

/** Whether `role` includes everything that `needed` may do. */
export function includesRole(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed);
}

/** Whether `model` may be called without an agent before it. */
export function mayCallModel(grant: Pick<Grant, 'agents' | 'models'>, model: string): boolean {
  return grant.models === null ? grant.agents === null : grant.models.includes(model);
}
