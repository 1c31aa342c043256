import { z } from 'zod';
import type { IssuerSettings } from '../core/issuer.ts';
import { issuerAlgorithms } from '../core/issuer.ts';
import { isTrustworthyUrl } from '../core/loopback.ts';
import { isTenantName, roles } from '../core/principal.ts';
import { secret, text } from './fields.ts';

const jwtSchema = z.strictObject({
  secret: secret(32)
    .prefault('')
    .describe('Signs and checks tokens (HS256); at least 32 bytes. Made and kept in the data folder if empty.'),
  issuer: text().default('mizan').describe('The "iss" of tokens.'),
  audience: text().default('mizan').describe('The "aud" of tokens.'),
  generated: z
    .enum(['loopback', 'anywhere'], { error: 'expected "loopback" or "anywhere"' })
    .default('loopback')
    .describe('Where Mizan may listen while a secret that it made itself is the only identity.'),
});

const urlError = 'expected an https URL, or an http one of this machine';

const trustworthyUrl = z.string({ error: urlError }).refine(isTrustworthyUrl, { error: urlError });

const issuerUrl = trustworthyUrl.refine((url) => !url.includes('?'), { error: 'expected a URL without a query' });

const audienceError = 'expected an audience, or a list of them';

const audience = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1)], { error: audienceError })
  .transform((given) => (typeof given === 'string' ? [given] : given));

const role = z.enum(roles, { error: `expected one of ${roles.join(', ')}` });

const claim = text('the name of a claim, or a path such as "realm_access.roles"').exactOptional();

export const issuerSchema = z.strictObject({
  issuer: issuerUrl.describe('The "iss" of its tokens, to the letter; also where OpenID Connect Discovery finds it.'),
  audience: audience.describe('The "aud" that is ours, or a list of them.'),
  algorithms: z
    .array(z.enum(issuerAlgorithms, { error: `expected one of ${issuerAlgorithms.join(', ')}` }))
    .min(1, { error: 'expected at least one algorithm' })
    .default(['RS256'])
    .describe('The signatures that it uses. No others are accepted.'),
  jwksUri: trustworthyUrl.exactOptional().describe('Where its keys are; found by discovery if absent.'),
  claims: z
    .strictObject({
      tenant: claim.describe('The claim that holds the tenant. A token without it is refused.'),
      role: claim.describe('The claim that holds the role, or a list of roles or groups; the highest counts.'),
      agents: claim.describe('The claim that lists the agents. A token without it may call none.'),
      models: claim.describe('The claim that lists the models it may call directly.'),
    })
    .prefault({})
    .describe('Where its tokens say what.'),
  tenant: text('the name of a tenant')
    .max(100, { error: 'expected at most 100 characters' })
    .refine(isTenantName, { error: 'expected the name of one tenant, other than "system"' })
    .exactOptional()
    .describe('Whose tokens they are, where no claim says it; "default" if absent.'),
  roles: z.record(z.string(), role).default({}).describe('From what stands in claims.role to a role.'),
  defaultRole: role.default('member').describe('The role of tokens whose claims give none.'),
  maxRole: role.default('member').describe('No token of this issuer is worth more.'),
  anyTenant: z
    .array(text('something that stands in claims.role'))
    .default([])
    .describe('What in claims.role lets somebody look after every tenant.'),
});

export const authSchema = z.strictObject({
  jwt: jwtSchema.prefault({}).describe('JSON Web Tokens that Mizan makes itself.'),
  issuers: z.array(issuerSchema).default([]).describe('Others whose tokens are accepted.'),
});

/** From what was read to what the rest of Mizan works with. */
export function issuerOf(read: z.output<typeof issuerSchema>): IssuerSettings {
  const { tenant, role: roleClaim, agents, models } = read.claims;
  return {
    ...read,
    jwksUri: read.jwksUri ?? null,
    claims: { tenant: tenant ?? null, role: roleClaim ?? null, agents: agents ?? null, models: models ?? null },
    tenant: read.tenant ?? 'default',
  };
}
