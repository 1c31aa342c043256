import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { MizanError } from '../../core/errors.ts';
import { everyTenant } from '../../core/request-record.ts';
import type { Revocation } from '../../core/revocation.ts';
import { publicRevocation } from '../../core/revocation.ts';
import { tenantFor } from '../auth/authorise.ts';
import type { EdgeContext } from '../http/context.ts';
import { orNull, readBody } from './body.ts';

const text = orNull(z.string().min(1).max(200));
const revocation = z.strictObject({ jti: text, sub: text, token: orNull(z.string().min(1)), tenant: text });

const expectations = {
  jti: 'must be the jti of a token',
  sub: 'must be the name of a subject',
  token: 'must be a token',
  tenant: 'must be the name of a tenant, or null for your own',
};

/** `GET /api/tokens/revocations`: what was taken back, newest first. */
export async function listRevocations(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const revocations = context.revocations.list(request.tenantScope, context.flow.clock.now());
  return { revocations: revocations.map(publicRevocation) };
}

/** `POST /api/tokens/revoke`: takes back one token by its `jti` or itself, or all that a subject has until now. */
export async function revokeTokens(context: EdgeContext, request: FastifyRequest): Promise<unknown> {
  const { jti, sub, token, tenant: named } = readBody(revocation, request, expectations);
  if ([jti, sub, token].filter((given) => given !== null).length !== 1) {
    throw new MizanError('invalid_request', 'Give one of jti, sub and token.', { param: 'jti' });
  }
  const of = named === null ? request.tenantScope : tenantFor(request.principal, named);
  const whom = { tenant: of === everyTenant ? null : of, scope: request.principal.scope };
  const revokedAt = context.flow.clock.now();
  const made: Revocation =
    token === null
      ? { kind: jti === null ? 'sub' : 'jti', value: jti ?? sub ?? '', ...whom, revokedAt, expiresAt: null }
      : { kind: 'jti', ...(await read(context, token, whom)), ...whom, revokedAt };
  context.revocations.add(made);
  const shown = publicRevocation(made);
  const target = `${made.kind}:${made.value}`;
  request.audit = { action: 'token.revoke', tenant: made.tenant ?? 'system', target, after: shown };
  return shown;
}

/**
 * @throws MizanError `invalid_request` where it isn't a good token of the tenant's, or can't be named; `forbidden` where
 * it is for every tenant and whoever takes it back is not.
 */
async function read(
  context: EdgeContext,
  token: string,
  { tenant, scope }: Pick<Revocation, 'tenant' | 'scope'>,
): Promise<{ readonly value: string; readonly expiresAt: number }> {
  const verified = await context.authenticator.verifyToken(token).catch((cause: unknown) => {
    if (!(cause instanceof MizanError) || cause.status !== 401) throw cause;
    throw new MizanError('invalid_request', `This needs no revoking: ${cause.message}`, { param: 'token', cause });
  });
  const { principal, expiresAt } = verified;
  if (tenant !== null && principal.tenant !== tenant) {
    throw new MizanError('invalid_request', "The token is another tenant's.", { param: 'token' });
  }
  if (principal.scope === 'any' && scope !== 'any') {
    throw new MizanError('forbidden', 'Only an identity for every tenant can take this token back.');
  }
  if (principal.credential === null) {
    throw new MizanError('invalid_request', 'The token has no jti; revoke its sub.', { param: 'token' });
  }
  return { value: principal.credential, expiresAt };
}
