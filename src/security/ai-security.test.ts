import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { CompactEncrypt, exportJWK, generateKeyPair } from 'jose';
import { describe, expect, onTestFinished, test } from 'vitest';
import { errorTable, MizanError } from '../core/errors.ts';
import type { JsonValue } from './ai-security.ts';
import { AISecurity } from './ai-security.ts';
import type { MessageJwk } from './message-key.ts';

const secret = AISecurity.generateKey();
const security = new AISecurity({ keys: [secret] });

async function pair(curve: 'P-256' | 'X25519'): Promise<{ open: MessageJwk; shut: MessageJwk }> {
  const { privateKey } = await generateKeyPair('ECDH-ES+A256KW', { crv: curve, extractable: true });
  const open = { ...(await exportJWK(privateKey)), kid: `the ${curve} one` } as MessageJwk;
  const { d: _d, ...shut } = open;
  return { open, shut };
}

/** The code of what it is refused with. */
function refused(work: Promise<unknown>): Promise<string> {
  return work.then(
    (value) => `opened: ${String(value)}`,
    (error: unknown) => {
      if (!(error instanceof MizanError)) throw error;
      expect(Object.keys(errorTable)).toContain(error.code);
      return error.code;
    },
  );
}

/** A JWE by another hand. */
function foreign(header: Record<string, unknown>, data: string | Uint8Array, key: Uint8Array): Promise<string> {
  return new CompactEncrypt(typeof data === 'string' ? Buffer.from(data) : data)
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', ...header })
    .encrypt(key);
}

const bytesOfSecret = Buffer.from(String(secret.k), 'base64url');

describe('what is encrypted is decrypted', () => {
  test('as what it was: texts, bytes and JSON', async () => {
    const values = fc.oneof(fc.string({ unit: 'binary' }), fc.uint8Array(), fc.jsonValue());
    await fc.assert(
      fc.asyncProperty(values, fc.option(fc.string()), async (data, context) => {
        const options = context === null ? {} : { context };
        const token = await security.encryptData(data as JsonValue, options);
        expect(token).toMatch(/^[\w-]+\.\.[\w-]{16}\.[\w-]*\.[\w-]{22}$/);
        const expected =
          data instanceof Uint8Array ? new Uint8Array(data) : (JSON.parse(JSON.stringify(data)) as unknown);
        expect(await security.decryptData(token, options)).toStrictEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  test.each(['P-256', 'X25519'] as const)('with only the public key at hand: %s', async (curve) => {
    const { open, shut } = await pair(curve);
    const token = await new AISecurity({ keys: [shut] }).encryptData({ hello: 'مرحبا' });
    expect(await new AISecurity({ keys: [secret, open] }).decryptData(token)).toStrictEqual({ hello: 'مرحبا' });
    expect(await refused(new AISecurity({ keys: [shut] }).decryptData(token))).toBe('undecryptable');
  });

  test('after another key has taken the first place', async () => {
    const token = await security.encryptData('old');
    const rotated = new AISecurity({ keys: [AISecurity.generateKey(), secret] });
    expect(await rotated.decryptData(token)).toBe('old');
    expect(await refused(security.decryptData(await rotated.encryptData('new')))).toBe('undecryptable');
  });

  test('with the key in the environment', async () => {
    expect(() => new AISecurity()).toThrow(/MIZAN_MESSAGE_KEY/);
    process.env['MIZAN_MESSAGE_KEY'] = JSON.stringify(secret);
    onTestFinished(() => void delete process.env['MIZAN_MESSAGE_KEY']);
    expect(await new AISecurity().decryptData(await security.encryptData('x'))).toBe('x');
    process.env['MIZAN_MESSAGE_KEY'] = 'sesame';
    expect(() => new AISecurity()).toThrow(/not a JWK/);
  });

  test('with bare bytes as the key, named by their thumbprint (RFC 7638)', async () => {
    const bytes = randomBytes(32);
    const token = await new AISecurity({ keys: [bytes] }).encryptData('x');
    const jwk = { kty: 'oct', k: bytes.toString('base64url') };
    expect(await new AISecurity({ keys: [jwk] }).decryptData(token)).toBe('x');
  });
});

describe('what others encrypted is decrypted', () => {
  test.each([
    ['a text without cty or kid', {}, '{"a":1}', '{"a":1}'],
    ['JSON', { cty: 'json', kid: secret.kid }, '{"a":1}', { a: 1 }],
    ['JSON by its whole media type', { cty: 'application/json; charset=utf-8' }, '[1]', [1]],
    ['bytes', {}, Uint8Array.of(0xff, 0), Uint8Array.of(0xff, 0)],
  ])('%s', async (_what, header, data, expected) => {
    const token = await foreign(header, data, bytesOfSecret);
    expect(await security.decryptData(token)).toStrictEqual(expected);
  });

  test('and what says it is JSON and is not is refused', async () => {
    expect(await refused(security.decryptData(await foreign({ cty: 'json' }, '{', bytesOfSecret)))).toBe(
      'undecryptable',
    );
  });
});

describe('it is refused', () => {
  test('with any other context, one where there was none, and none where there was one', async () => {
    const context = fc.option(fc.string({ maxLength: 20 }), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(context, context, async (sealed, opened) => {
        const token = await security.encryptData('x', sealed === undefined ? {} : { context: sealed });
        const work = security.decryptData(token, opened === undefined ? {} : { context: opened });
        expect(await refused(work)).toBe(sealed === opened ? 'opened: x' : 'undecryptable');
      }),
      { numRuns: 60 },
    );
  });

  test('with any character changed to another', async () => {
    const { open } = await pair('X25519');
    for (const keys of [[secret], [open]]) {
      const own = new AISecurity({ keys });
      const token = await own.encryptData('not to be read', { context: 'c' });
      const altered = token
        .split('')
        .flatMap((character, i) =>
          [1, 32].map((bit) => token.slice(0, i) + flipped(character, bit) + token.slice(i + 1)),
        );
      const outcomes = await Promise.all(altered.map((each) => refused(own.decryptData(each, { context: 'c' }))));
      expect(outcomes.filter((outcome) => outcome !== 'undecryptable')).toStrictEqual([]);
    }
  });

  test('where it is no JWE at all', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), async (text) => {
        expect(await refused(security.decryptData(text))).toBe('undecryptable');
      }),
    );
    for (const text of ['....', 'a.b.c', 'e30....', 'bnVsbA....', `${await security.encryptData('x')} `]) {
      expect(await refused(security.decryptData(text))).toBe('undecryptable');
    }
  });

  test('with the key of that name, and another secret in it', async () => {
    const other = new AISecurity({ keys: [{ ...AISecurity.generateKey(), kid: String(secret.kid) }] });
    expect(await refused(other.decryptData(await security.encryptData('x')))).toBe('undecryptable');
  });

  test.each([
    ['another algorithm than the key is for', { alg: 'A256KW', enc: 'A256GCM' }],
    ['a password instead of the key', { alg: 'PBES2-HS256+A128KW', enc: 'A256GCM' }],
    ['another encryption', { alg: 'A256KW', enc: 'A256CBC-HS512' }],
    ['a critical extension', { alg: 'dir', enc: 'A256GCM', crit: ['exp'], exp: 1 }],
    ['compression', { alg: 'dir', enc: 'A256GCM', zip: 'DEF' }],
  ])('where its header asks for %s', async (_what, header) => {
    const encrypting = new CompactEncrypt(Buffer.from('x')).setProtectedHeader({ kid: String(secret.kid), ...header });
    const token = await encrypting.encrypt(bytesOfSecret, { crit: { exp: true } });
    expect(await refused(security.decryptData(token))).toBe('undecryptable');
  });
});

test('the same data is never the same text', async () => {
  const tokens = await Promise.all(Array.from({ length: 50 }, () => security.encryptData('x')));
  expect(new Set(tokens).size).toBe(50);
});

test.each([
  ['too short', { kty: 'oct', k: 'AAAA' }],
  ['too short, in bytes', new Uint8Array(16)],
  ['RSA', { kty: 'RSA', n: 'AQAB', e: 'AQAB' }],
  ['on another curve', { kty: 'EC', crv: 'P-384', x: 'AA', y: 'AA' }],
  ['on an inherited curve', { kty: 'EC', crv: 'toString' }],
  ['no point of its curve', { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }],
  ['for signatures', { ...secret, use: 'sig' }],
  ['for another algorithm', { ...secret, alg: 'A256KW' }],
  ['nothing', null as unknown as MessageJwk],
])('a key that is %s is refused, and not shown', (_what, key) => {
  expect(() => new AISecurity({ keys: [key] })).toThrow(/^This key can't be used: (?!.*AAAA)/);
});

test('no keys, and data that JSON can not say, are refused', async () => {
  expect(() => new AISecurity({ keys: [] })).toThrow(/at least one key/);
  for (const data of [undefined, () => 1, 1n, Symbol('x')]) {
    expect(await refused(security.encryptData(data as unknown as JsonValue))).toBe('invalid_request');
  }
});

/** Another character, one bit away where that is one of base64url; a dot becomes a letter. */
function flipped(character: string, bit: number): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const at = alphabet.indexOf(character);
  return at === -1 ? 'A' : (alphabet[at ^ bit] ?? 'A');
}
