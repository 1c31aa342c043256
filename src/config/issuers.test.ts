import { describe, expect, test } from 'vitest';
import { problems, read } from './reading.suite.ts';

const one = (more: string, url = 'https://login.example.com') =>
  `auth: { issuers: [{ issuer: "${url}", audience: mizan, ${more} }] }`;

const message = (text: string): string =>
  problems(text)
    .map((line) => line.replace(/^\S+ /, ''))
    .join(' | ');

describe('an issuer', () => {
  test('needs its URL and its audience, and has the least of everything else', () => {
    expect(read(one('')).auth.issuers).toEqual([
      {
        issuer: 'https://login.example.com',
        audience: ['mizan'],
        algorithms: ['RS256'],
        jwksUri: null,
        claims: { tenant: null, role: null, agents: null, models: null },
        tenant: 'default',
        roles: {},
        defaultRole: 'member',
        maxRole: 'member',
        anyTenant: [],
      },
    ]);
  });

  test('is taken to the letter, since its tokens are', () => {
    expect(read(one('', 'https://x.example.com/')).auth.issuers[0]?.issuer).toBe('https://x.example.com/');
  });

  test('may be one of several, each with its own rules', () => {
    const text = `auth:
  issuers:
    - { issuer: "https://a.example.com", audience: [mizan, mizan-eu], algorithms: [ES256, EdDSA], tenant: acme }
    - issuer: http://127.0.0.1:8080/realms/x
      audience: mizan
      jwksUri: http://127.0.0.1:8080/keys
      claims: { tenant: org.id, role: groups, agents: agents, models: models }
      roles: { staff: operator }
      maxRole: operator
      anyTenant: [root]
`;
    expect(read(text).auth.issuers.map(({ maxRole }) => maxRole)).toEqual(['member', 'operator']);
  });

  test.each([
    ['plain http elsewhere', one('', 'http://login.example.com'), /issuer: expected an https URL, or an http one/],
    ['a query', one('', 'https://login.example.com?x=1'), /issuer: expected a URL without a query/],
    ['keys over plain http', one('jwksUri: "http://10.0.0.1/keys"'), /jwksUri: expected an https URL/],
    ['keys in a file', one('jwksUri: "file:///keys"'), /jwksUri: expected an https URL/],
    ['a secret’s algorithm', one('algorithms: [HS256]'), /algorithms\[0\]: expected one of RS256, .*found "HS256"/],
    ['no signature at all', one('algorithms: [none]'), /algorithms\[0\]: expected one of RS256/],
    ['no algorithm', one('algorithms: []'), /algorithms: expected at least one algorithm/],
    ['the tenant that is every tenant', one('tenant: "*"'), /tenant: expected the name of one tenant/],
    ['the tenant that is Mizan itself', one('tenant: system'), /tenant: expected the name of one tenant/],
    ['a tenant and a claim for it', one('tenant: a, claims: { tenant: b }'), /tenant: either this or claims\.tenant/],
    ['roles without their claim', one('roles: { a: viewer }'), /roles: this needs claims\.role/],
    ['a way to every tenant without its claim', one('anyTenant: [a]'), /anyTenant: this needs claims\.role/],
    [
      'a role above its highest',
      one('claims: { role: r }, roles: { boss: admin }'),
      /roles\.boss: expected no role above maxRole, which is member, found "admin"/,
    ],
    ['a usual role above its highest', one('maxRole: viewer'), /defaultRole: .*expected no role above maxRole/],
    ['a key that is none', one('jwksUrl: x'), /jwksUrl: unknown key; did you mean "jwksUri"\?/],
  ])('is refused with %s', (_what, text, expected) => {
    expect(message(text)).toMatch(expected);
  });

  test('is neither there twice nor our own', () => {
    const entry = '{ issuer: "https://a.example.com", audience: x }';
    expect(message(`auth: { issuers: [${entry}, ${entry}] }`)).toMatch(/issuers\[1\]\.issuer|neither our own/);
    const own = `auth: { jwt: { issuer: "https://a.example.com" }, issuers: [${entry}] }`;
    expect(message(own)).toMatch(/expected an issuer that is neither our own nor listed before/);
  });
});

test('a secret that Mizan made itself is enough anywhere, where the environment or the file says so', () => {
  expect(read('', { MIZAN_GENERATED_SECRET: 'anywhere' }).auth.jwt.generated).toBe('anywhere');
  expect(read('auth: { jwt: { generated: anywhere } }').auth.jwt.generated).toBe('anywhere');
  const [problem] = problems('', { MIZAN_GENERATED_SECRET: 'yes' });
  expect(problem).toMatch(/MIZAN_GENERATED_SECRET: expected "loopback" or "anywhere"/);
});
