import type { SeenApiKey } from '../../core/api-key.ts';
import { noLimits } from '../../core/api-key.ts';
import { roles } from '../../core/principal.ts';

/** The largest time that a `Date` can be, in ms. */
const latest = 8.64e15;

/** What can be shown of a row that is not believed, whatever anybody has put into it. */
export function damagedRecordOf(row: object): SeenApiKey {
  const value = (column: string): unknown => (row as Readonly<Record<string, unknown>>)[column];
  const text = (column: string): string => {
    const found = value(column);
    return typeof found === 'string' ? found : '';
  };
  const time = (column: string): number | null => {
    const found = value(column);
    return typeof found === 'number' && Math.abs(found) <= latest ? found : null;
  };
  return {
    id: text('id'),
    hash: text('hash'),
    name: text('name'),
    tenant: text('tenant'),
    role: roles.find((role) => role === value('role')) ?? 'viewer',
    agents: value('agents') === null ? null : namesIn(value('agents')),
    models: value('models') === null ? null : namesIn(value('models')),
    scope: value('any_tenant') === 1 ? 'any' : 'own',
    limits: noLimits,
    createdAt: time('created_at') ?? 0,
    expiresAt: time('expires_at'),
    revokedAt: time('revoked_at'),
    rotatedAt: time('rotated_at'),
    previous: null,
    isDamaged: true,
  };
}

function namesIn(json: unknown): readonly string[] {
  try {
    const names: unknown = typeof json === 'string' ? JSON.parse(json) : null;
    return Array.isArray(names) ? names.filter((each) => typeof each === 'string') : [];
  } catch {
    return [];
  }
}
