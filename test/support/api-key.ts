import type { ApiKeyRecord } from '../../src/core/api-key.ts';
import { noLimits } from '../../src/core/api-key.ts';

/** A key of a member of the tenant `acme`, for everything and for ever, but for what the test says. */
export function apiKeyRecord(over: Partial<ApiKeyRecord> = {}): ApiKeyRecord {
  return {
    id: '0123456789abcdef',
    hash: 'f'.repeat(64),
    name: 'ci',
    tenant: 'acme',
    scope: 'own',
    role: 'member',
    agents: null,
    models: null,
    limits: noLimits,
    createdAt: 0,
    expiresAt: null,
    revokedAt: null,
    rotatedAt: null,
    previous: null,
    ...over,
  };
}
