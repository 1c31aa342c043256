import { MizanError } from '../../core/errors.ts';
import type { Principal, Role } from '../../core/principal.ts';
import { everyTenantName, includesRole } from '../../core/principal.ts';
import type { TenantScope } from '../../core/request-record.ts';
import { everyTenant } from '../../core/request-record.ts';

/** What a route asks of whoever uses it. */
export interface Access {
  /** The least role; `null` where nobody is asked who they are. */
  readonly role: Role | null;
  /**
   * Whose data it touches: the principal's own tenant's alone, any tenant's by `?tenant=` for those whose scope is
   * `any`, every tenant's at once, which is for those only, or none's.
   */
  readonly tenant: 'own' | 'any' | 'every' | 'none';
}

/**
 * Decides whether a principal may use a route, and whose data it is about. Looks at nothing but the route that was
 * dispatched, who asks, and `?tenant=`.
 * @throws MizanError `forbidden`, `invalid_request`
 */
export function authorise(access: Access & { role: Role }, principal: Principal, query: unknown): TenantScope {
  if (!includesRole(principal.role, access.role)) {
    throw new MizanError('forbidden', `This needs the role ${access.role}; this identity is a ${principal.role}.`);
  }
  if (access.tenant === 'none') return principal.tenant;
  if (access.tenant === 'every') {
    if (principal.scope === 'any') return everyTenant;
    throw new MizanError('forbidden', 'This is about every tenant at once: it needs an identity for all of them.');
  }
  const { tenant } = query as { readonly tenant?: unknown };
  if (tenant === undefined || tenant === '') return principal.tenant;
  if (typeof tenant !== 'string') {
    throw new MizanError('invalid_request', 'tenant must be given once.', { param: 'tenant' });
  }
  if (tenant.includes('\0')) {
    throw new MizanError('invalid_request', 'tenant is no name of a tenant: it has a U+0000.', { param: 'tenant' });
  }
  if (tenant === principal.tenant) return tenant;
  if (access.tenant === 'own') throw new MizanError('forbidden', "This works on the identity's own tenant only.");
  return tenantFor(principal, tenant);
}

/**
 * The tenant that a principal names, its own or, where it may, another or all of them (`*`).
 * @throws MizanError `forbidden`
 */
export function tenantFor(principal: Principal, tenant: string): TenantScope {
  if (tenant === principal.tenant) return tenant;
  if (principal.scope !== 'any') throw new MizanError('forbidden', 'This identity may see its own tenant only.');
  return tenant === everyTenantName ? everyTenant : tenant;
}
