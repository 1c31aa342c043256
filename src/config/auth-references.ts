import type { Role } from '../core/principal.ts';
import { includesRole, roles } from '../core/principal.ts';
import type { Finding } from './findings.ts';
import type { Path } from './places.ts';
import { entriesOf, isMapping, valueAt } from './tree.ts';
import type { Mapping } from './tree.ts';

/** What no schema of one value can see in the issuers: twice the same, and settings that contradict each other. */
export function* issuerFindings(tree: Mapping): Generator<Finding> {
  const issuers = valueAt(tree, ['auth', 'issuers']);
  const own = valueAt(tree, ['auth', 'jwt', 'issuer']) ?? 'mizan';
  const seen = new Set<unknown>([own]);
  for (const [i, issuer] of (Array.isArray(issuers) ? (issuers as unknown[]) : []).entries()) {
    if (!isMapping(issuer)) continue;
    const path = ['auth', 'issuers', i];
    const name = issuer['issuer'];
    if (typeof name === 'string' && seen.has(name)) {
      yield { path: [...path, 'issuer'], message: 'expected an issuer that is neither our own nor listed before' };
    }
    seen.add(name);
    yield* contradictions(path, issuer);
  }
}

function* contradictions(path: Path, issuer: Mapping): Generator<Finding> {
  const claims = issuer['claims'];
  if (issuer['tenant'] !== undefined && valueAt(claims, ['tenant']) !== undefined) {
    yield { path: [...path, 'tenant'], message: 'either this or claims.tenant says whose the tokens are, not both' };
  }
  const hasRole = valueAt(claims, ['role']) !== undefined;
  for (const key of ['roles', 'anyTenant'] as const) {
    if (issuer[key] !== undefined && !hasRole) {
      yield { path: [...path, key], message: 'this needs claims.role, which says where the roles stand' };
    }
  }
  const most = roleOf(issuer['maxRole']) ?? 'member';
  const given: [Path, unknown][] = [
    [[...path, 'defaultRole'], issuer['defaultRole'] ?? 'member'],
    ...entriesOf(issuer['roles']).map(([value, role]): [Path, unknown] => [[...path, 'roles', value], role]),
  ];
  for (const [at, text] of given) {
    const role = roleOf(text);
    if (role === undefined || includesRole(most, role)) continue;
    yield { path: at, message: `expected no role above maxRole, which is ${most}` };
  }
}

function roleOf(text: unknown): Role | undefined {
  return roles.find((role) => role === text);
}
