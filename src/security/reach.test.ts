import { describe, expect, test } from 'vitest';
import { apiKeyRecord } from '../../test/support/api-key.ts';
import type { ApiKeyRecord } from '../core/api-key.ts';
import { SetupError } from '../core/errors.ts';
import { isLoopback, isTrustworthyUrl } from '../core/loopback.ts';
import type { ConfiguredIdentity } from './reach.ts';
import { checkReach } from './reach.ts';

const jwt = { secret: null, generated: 'loopback' } as const;

function identity(over: Partial<ConfiguredIdentity> = {}, keys: readonly ApiKeyRecord[] = []): ConfiguredIdentity {
  return { jwt, issuers: [], apiKeys: { list: () => [...keys] }, now: 1000, ...over };
}

const everywhere = ['0.0.0.0', '::', '192.0.2.1', '10.0.0.1', '128.0.0.1', 'example.com', '', '127.0.0.1.example.com'];
const here = ['127.0.0.1', '127.8.9.10', '::1', 'localhost', 'LocalHost'];

describe('while nobody has said who may come', () => {
  test.each(here)('Mizan listens on %s', (host) => {
    expect(() => checkReach(host, identity())).not.toThrow();
    expect(isLoopback(host)).toBe(true);
  });

  test.each(everywhere)('Mizan does not listen on %j, and says what to do', (host) => {
    expect(() => checkReach(host, identity())).toThrow(SetupError);
    expect(() => checkReach(host, identity())).toThrow(
      /mizan keys create.*MIZAN_JWT_SECRET.*auth\.issuers.*MIZAN_GENERATED_SECRET.*127\.0\.0\.1/,
    );
  });

  test.each([
    ['revoked', { revokedAt: 999 }],
    ['expired', { expiresAt: 1000 }],
    ['damaged', { isDamaged: true }],
  ])('a key that is %s says nothing', (_what, over) => {
    expect(() => checkReach('0.0.0.0', identity({}, [{ ...apiKeyRecord(), ...over }]))).toThrow(SetupError);
  });
});

test.each<[what: string, identity: ConfiguredIdentity]>([
  ['a secret', identity({ jwt: { ...jwt, secret: 'x' } })],
  ['an issuer', identity({ issuers: [{}] })],
  ['an API key', identity({}, [apiKeyRecord()])],
  ['the word for it', identity({ jwt: { ...jwt, generated: 'anywhere' } })],
])('with %s Mizan listens anywhere', (_what, configured) => {
  for (const host of [...everywhere, ...here]) expect(() => checkReach(host, configured)).not.toThrow();
});

test.each([
  ['https://login.example.com/tenant/', true],
  ['http://127.0.0.1:8080/keys', true],
  ['http://[::1]/keys', true],
  ['http://localhost:1/', true],
  ['http://login.example.com', false],
  ['http://10.0.0.1/keys', false],
  ['http://127.0.0.1.example.com/', false],
  ['https://user:password@login.example.com/', false],
  ['https://login.example.com/#x', false],
  ['file:///etc/passwd', false],
  ['data:application/json,{}', false],
  ['ftp://127.0.0.1/', false],
  ['//login.example.com', false],
  ['', false],
])('a document about trust may come from %j: %j', (url, expected) => {
  expect(isTrustworthyUrl(url)).toBe(expected);
});
