import { generateKeyPairSync } from 'node:crypto';
import type { JWK } from 'jose';
import { expect, test } from 'vitest';
import { isSoundKey } from './sound-keys.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' }) as JWK;
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' }) as JWK;

const encoded = (value: bigint): string => {
  const hex = value.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url');
};

test('keys as they are made today are sound', () => {
  expect([rsa, ec, { ...rsa, e: 'Aw' }].map(isSoundKey)).toEqual([true, true, true]);
});

test.each([
  ['1', 'AQ'],
  ['2', 'Ag'],
  ['0', 'AA'],
  ['none', undefined],
  ['65536', 'AQAA'],
])('an RSA key with the exponent %s is not', (_what, e) => {
  expect(isSoundKey({ kty: 'RSA', n: rsa.n!, ...(e === undefined ? {} : { e }) })).toBe(false);
});

test('an RSA key of the generator that made only powers of 65537 is not', () => {
  // As that generator did: a multiple of the product of small primes, and a power of 65537.
  const product = [3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97]
    .concat([101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167])
    .reduce((all, prime) => all * BigInt(prime), 1n);
  const n = (product << 1800n) + 65_537n ** 7n;
  expect(isSoundKey({ kty: 'RSA', n: encoded(n), e: 'AQAB' })).toBe(false);
  expect(isSoundKey({ kty: 'RSA', n: encoded(n + 2n), e: 'AQAB' })).toBe(true);
});
