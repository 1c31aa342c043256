import { describe, expect, test } from 'vitest';
import type { IssuerSettings } from '../core/issuer.ts';
import { grantOf } from './issuer.ts';

describe('what an issuer may say', () => {
  const claims = { tenant: 'org.id', role: 'groups', agents: 'agents', models: 'models' };
  const settings: IssuerSettings = {
    issuer: 'https://login.example',
    audience: ['mizan'],
    algorithms: ['RS256'],
    jwksUri: null,
    claims,
    tenant: 'acme',
    roles: {},
    defaultRole: 'member',
    maxRole: 'admin',
    anyTenant: [],
  };
  const grant = (payload: object, over: Partial<IssuerSettings> = {}) =>
    grantOf({ org: { id: 'acme' }, ...payload }, { ...settings, ...over });

  test('is the tenant, the role, the agents and the models, each from its claim', () => {
    expect(grant({ groups: ['operator', 'viewer', 'x'], agents: ['a', 'b'], models: 'fast' })).toStrictEqual({
      tenant: 'acme',
      role: 'operator',
      agents: ['a', 'b'],
      models: ['fast'],
      scope: 'own',
    });
  });

  test('is the least where a claim is missing', () => {
    expect(grant({})).toStrictEqual({ tenant: 'acme', role: 'member', agents: [], models: [], scope: 'own' });
    expect(grant({ groups: 'root' }, { defaultRole: 'viewer' }).role).toBe('viewer');
  });

  test.each([
    { org: {} },
    { org: { id: '' } },
    { org: { id: '*' } },
    { org: { id: 'system' } },
    { org: { id: 1 } },
    { org: null },
    { org: [] },
  ])('is refused without a tenant: %j', (payload) => {
    expect(() => grant(payload)).toThrow('The token\'s claim "org.id" is not as expected.');
  });

  test('is never a role above the highest that the issuer may give, whatever its tokens say', () => {
    for (const groups of ['admin', ['admin'], ['viewer', 'admin', 'operator']]) {
      expect(grant({ groups, role: 'admin' }, { maxRole: 'member' }).role).toBe('member');
    }
    expect(grant({ groups: 'staff' }, { roles: { staff: 'operator' }, maxRole: 'viewer' }).role).toBe('viewer');
  });

  test('is what groups are mapped to, and nothing by its own name, where there is a mapping', () => {
    const roles = { 'mizan-admins': 'admin', staff: 'operator' } as const;
    expect(grant({ groups: ['staff', 'mizan-admins'] }, { roles }).role).toBe('admin');
    expect(grant({ groups: ['admin', 'operator', '__proto__', 'constructor'] }, { roles }).role).toBe('member');
  });

  test('is every tenant only by a group that the configuration names', () => {
    expect(grant({ groups: ['root'], any_tenant: true, scope: 'any' }).scope).toBe('own');
    expect(grant({ groups: ['root'] }, { anyTenant: ['root'] }).scope).toBe('any');
  });

  test('may stand in a claim with dots in its name', () => {
    const name = 'https://example.com/roles';
    expect(grant({ [name]: 'operator' }, { claims: { ...claims, role: name } }).role).toBe('operator');
  });

  test('never comes from what every object has', () => {
    for (const path of ['constructor.name', '__proto__', 'toString']) {
      expect(() => grant({}, { claims: { ...claims, tenant: path } })).toThrow(/is not as expected/);
    }
  });
});
