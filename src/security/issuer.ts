import type { JWTPayload } from 'jose';
import { z } from 'zod';
import type { IssuerSettings } from '../core/issuer.ts';
import type { Grant, Role } from '../core/principal.ts';
import { includesRole, roles } from '../core/principal.ts';
import type { IssuerKeys } from './issuer-keys.ts';
import { checkToken, claimRefused } from './token-check.ts';
import type { TokenVerifier, VerifiedToken } from './tokens.ts';
import { commonClaims, tenantClaim, verified } from './tokens.ts';

/** Verifies the tokens of one configured issuer: its algorithms, its keys, and no more than it may say. */
export class Issuer implements TokenVerifier {
  readonly #settings: IssuerSettings;
  readonly #keys: IssuerKeys;

  constructor(settings: IssuerSettings, keys: IssuerKeys) {
    this.#settings = settings;
    this.#keys = keys;
  }

  get issuer(): string {
    return this.#settings.issuer;
  }

  async verify(token: string, now: number): Promise<VerifiedToken> {
    const payload = await checkToken(token, this.#keys.find, this.#settings, now);
    const common = commonClaims.safeParse(payload);
    if (!common.success) throw claimRefused(common.error.issues[0]?.path.join('.') ?? '');
    return verified(common.data, grantOf(payload, this.#settings));
  }
}

/**
 * What the claims of an issuer's token come to. A claim that is configured and missing gives the least: no agents, no
 * models, the default role, and no tenant, so that it is refused.
 * @throws MizanError `invalid_token`
 */
export function grantOf(payload: JWTPayload, settings: IssuerSettings): Grant {
  const { claims, anyTenant } = settings;
  const given = claims.role === null ? [] : textsAt(payload, claims.role);
  return {
    tenant: claims.tenant === null ? settings.tenant : tenantAt(payload, claims.tenant),
    role: lesser(roleOf(given, settings), settings.maxRole),
    agents: claims.agents === null ? null : textsAt(payload, claims.agents),
    models: claims.models === null ? null : textsAt(payload, claims.models),
    scope: given.some((value) => anyTenant.includes(value)) ? 'any' : 'own',
  };
}

function roleOf(given: readonly string[], { roles: mapping, defaultRole }: IssuerSettings): Role {
  const isMapped = Object.keys(mapping).length > 0;
  const known = given.flatMap((value): Role[] => {
    if (isMapped) return Object.hasOwn(mapping, value) ? [mapping[value] ?? defaultRole] : [];
    return roles.filter((role) => role === value);
  });
  const [first, ...others] = known;
  return others.reduce((most, role) => (includesRole(role, most) ? role : most), first ?? defaultRole);
}

function lesser(a: Role, b: Role): Role {
  return includesRole(a, b) ? b : a;
}

function tenantAt(payload: JWTPayload, path: string): string {
  const tenant = tenantClaim.safeParse(claimAt(payload, path));
  if (!tenant.success) throw claimRefused(path);
  return tenant.data;
}

const texts = z.union([z.string().transform((text) => [text]), z.array(z.string())]);

/** A text or a list of texts as a list; nothing where nothing stands. */
function textsAt(payload: JWTPayload, path: string): readonly string[] {
  const value = claimAt(payload, path);
  if (value === undefined || value === null) return [];
  const read = texts.safeParse(value);
  if (!read.success) throw claimRefused(path);
  return read.data;
}

/** The claim of this very name, which may have dots in it (`https://example.com/roles`); else a path with dots. */
function claimAt(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path];
  let value: unknown = payload;
  for (const step of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[step];
  }
  return value;
}
