/** Roles, least first. Each may do what the ones before it may. */
export const roles = ['viewer', 'member', 'operator', 'admin'] as const;

export type Role = (typeof roles)[number];

/** Who is asking. Made by `edge/auth`, and by nothing else. */
export interface Principal {
  readonly subject: string;
  readonly tenant: string;
  readonly role: Role;
  /** The agents this identity may call; `null` for all, and for models called directly. */
  readonly agents: readonly string[] | null;
  /** What proved the identity. */
  readonly via: 'jwt' | 'api-key';
}

/** Whether `role` includes everything that `needed` may do. */
export function includesRole(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed);
}
