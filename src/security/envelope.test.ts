import { createSecretKey, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { SealContext } from '../core/sealing.ts';
import { keyIdOf, openWith, sealWith } from './envelope.ts';

const key = createSecretKey(randomBytes(32));
const id = '00112233445566ff';

/** What it opens to, in hex; `null` where it doesn't. */
function opened(keyId: string, sealed: Buffer, context: SealContext): string | null {
  try {
    return openWith(key, keyId, sealed, context).toString('hex');
  } catch {
    return null;
  }
}

test('under one and the same key, too, what is sealed opens with exactly its context and key id', () => {
  const part = fc.constantFrom('', 'a', 'ab', 'b', 'ba', '\0', 'secret', 'secreta');
  const place = fc.record({ tenant: part, purpose: part, row: part, keyId: fc.constantFrom(id, '00112233445566fe') });
  fc.assert(
    fc.property(place, place, (here, there) => {
      const sealed = sealWith(key, here.keyId, Buffer.from('x'), here as unknown as SealContext);
      const isSame = JSON.stringify(here) === JSON.stringify(there);
      expect(opened(there.keyId, sealed, there as unknown as SealContext)).toBe(isSame ? '78' : null);
    }),
    { numRuns: 2000 },
  );
});

test('no two places run into each other', () => {
  const near: [string, string, string][] = [
    ['a', 'bsecret', 'c'],
    ['ab', 'secret', 'c'],
    ['a', 'b', 'secretc'],
  ];
  const contexts = near.map(([tenant, purpose, row]) => ({ tenant, purpose, row }) as unknown as SealContext);
  for (const here of contexts) {
    const sealed = sealWith(key, id, Buffer.from('x'), here);
    expect(contexts.map((there) => opened(id, sealed, there))).toStrictEqual(
      contexts.map((there) => (there === here ? '78' : null)),
    );
  }
});

test('it says which key sealed it, as long as it is an envelope', () => {
  const context: SealContext = { tenant: 'a', purpose: 'cache', row: 'r' };
  const sealed = sealWith(key, id, Buffer.alloc(0), context);
  expect(keyIdOf(sealed)).toBe(id);
  expect(keyIdOf(sealed.subarray(0, -1))).toBe(null);
  expect(keyIdOf(Buffer.concat([Buffer.of(2), sealed.subarray(1)]))).toBe(null);
  expect(keyIdOf(Buffer.alloc(0))).toBe(null);
});

test('a context that two spellings of UTF-8 could share is not sealed for', () => {
  const context = { tenant: '\ud800', purpose: 'cache', row: 'r' } as const;
  expect(() => sealWith(key, id, Buffer.from('x'), context)).toThrow(/not well-formed/);
});
