import fc from 'fast-check';
import { expect, test } from 'vitest';
import { principal } from '../../test/support/calls.ts';
import type { Grant, Principal } from '../core/principal.ts';
import { includesRole, mayCallModel, roles } from '../core/principal.ts';
import { grantRefusal } from './grants.ts';

const names = fc.option(fc.subarray(['a', 'b', 'c']), { nil: null });
const grants: fc.Arbitrary<Grant> = fc.record({
  tenant: fc.constant('acme'),
  role: fc.constantFrom(...roles),
  agents: names,
  models: names,
  scope: fc.constantFrom('own' as const, 'any' as const),
});

/** Everything that an identity may do. */
function able(grant: Grant): Set<string> {
  const mayCall = (name: string): boolean => grant.agents === null || grant.agents.includes(name);
  const all = ['a', 'b', 'c', 'anything else'];
  return new Set([
    ...roles.filter((role) => includesRole(grant.role, role)).map((role) => `role ${role}`),
    ...all.filter(mayCall).map((name) => `agent ${name}`),
    ...all.filter((name) => mayCallModel(grant, name)).map((name) => `model ${name}`),
    ...(grant.scope === 'any' ? ['every tenant'] : []),
  ]);
}

test('nobody gives more than they have, and everybody may give what they have', () => {
  fc.assert(
    fc.property(grants, grants, (has, gives) => {
      const giver: Principal = { ...principal, ...has };
      const isWithin = [...able(gives)].every((what) => able(has).has(what));
      expect(grantRefusal(giver, gives) === undefined).toBe(isWithin);
    }),
    { numRuns: 2000 },
  );
});
