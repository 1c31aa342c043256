import { expect, test } from 'vitest';
import { includesRole, roles } from './principal.ts';

test('each role may do what the ones before it may, and nothing of the ones after it', () => {
  expect(roles).toStrictEqual(['viewer', 'member', 'operator', 'admin']);
  for (const [i, role] of roles.entries()) {
    for (const [j, needed] of roles.entries()) expect(includesRole(role, needed)).toBe(i >= j);
  }
});
