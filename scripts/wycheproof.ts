/**
 * Runs Project Wycheproof's test vectors (github.com/C2SP/wycheproof, Apache-2.0) against what Mizan relies on: `jose`
 * with the algorithms that are pinned, and `node:crypto` as data is sealed with it. A check for development: the vectors
 * are not part of this repository.
 *
 *     node scripts/wycheproof.ts PATH/TO/wycheproof/testvectors_v1
 *
 * Ends with 1 where anything invalid was accepted, or anything valid of a supported algorithm refused.
 */
import { createDecipheriv, createHmac, timingSafeEqual, webcrypto } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JSONWebKeySet, JWK } from 'jose';
import { compactDecrypt, compactVerify, createLocalJWKSet, importJWK } from 'jose';
import { isSoundKey } from '../src/security/sound-keys.ts';

/** A vector, with what its group says for all of its tests. */
type Vector = Readonly<Record<string, unknown>> & {
  readonly tcId: number;
  readonly comment: string;
  readonly result: 'valid' | 'invalid' | 'acceptable';
};
type Group = Readonly<Record<string, unknown>> & { readonly tests: readonly Vector[] };

/** What came of one vector: accepted, refused, or the reason why Mizan has nothing to do with it. */
type Ended = 'accepted' | 'refused' | { readonly skipped: string };

interface Suite {
  readonly file: string;
  readonly what: string;
  readonly run: (vector: Vector, group: Group) => Promise<Ended> | Ended;
}

/** What tokens may be signed with, and what messages are encrypted with. */
const pinned = {
  signature: ['HS256', 'RS256', 'ES256', 'EdDSA'],
  keyManagement: ['dir', 'ECDH-ES+A256KW'],
  content: ['A256GCM'],
};

/** Everything that `jose` has, for the vectors of algorithms that share its code with ours. */
const everything = {
  signature: [
    'HS256',
    'HS384',
    'HS512',
    'RS256',
    'RS384',
    'RS512',
    'PS256',
    'PS384',
    'PS512',
    'ES256',
    'ES384',
    'ES512',
  ],
  keyManagement: [
    'A128KW',
    'A192KW',
    'A256KW',
    'A128GCMKW',
    'A192GCMKW',
    'A256GCMKW',
    'ECDH-ES',
    'ECDH-ES+A128KW',
  ].concat(['ECDH-ES+A192KW', 'ECDH-ES+A256KW', 'RSA-OAEP', 'RSA-OAEP-256', 'dir']),
  content: ['A128GCM', 'A192GCM', 'A256GCM', 'A128CBC-HS256', 'A192CBC-HS384', 'A256CBC-HS512'],
};

type Algorithms = typeof pinned;

const hex = (value: unknown): Buffer<ArrayBuffer> => Buffer.from(String(value), 'hex');

/** Refused is whatever throws. */
async function attempt(work: () => unknown): Promise<Ended> {
  try {
    return (await work()) === false ? 'refused' : 'accepted';
  } catch {
    return 'refused';
  }
}

function headerOf(token: string): Readonly<Record<string, unknown>> {
  try {
    const header: unknown = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString());
    return typeof header === 'object' && header !== null ? (header as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/**
 * Why a valid vector is none of ours; an invalid one is put to the test whatever it says of itself, but for the two that
 * hold the very token of a valid one.
 */
function unsupported(token: string, vector: Vector, group: Group, algorithms: Algorithms): Ended | null {
  if (vector.result === 'invalid') {
    const twin = group.tests.find((other) => other['jws'] === token && other.result === 'valid');
    return twin === undefined ? null : { skipped: `the same token is valid as ${twin.tcId}` };
  }
  const { alg, enc } = headerOf(token) as { readonly alg?: string; readonly enc?: string };
  const known = [...algorithms.signature, ...algorithms.keyManagement];
  if (alg === undefined || !known.includes(alg)) return { skipped: `alg ${alg}` };
  if (enc !== undefined && !algorithms.content.includes(enc)) return { skipped: `enc ${enc}` };
  const key = keyOf(group);
  // Mizan reads sets for public keys only; a secret stands in the configuration.
  if ('keys' in key && alg.startsWith('HS')) return { skipped: 'a secret in a set of keys' };
  if (!('keys' in key) && key.alg !== undefined && key.alg !== alg)
    return { skipped: `a key for ${key.alg} used for ${alg}` };
  // RFC 7515 §2 and RFC 4648 §3.3: characters outside of the alphabet are refused.
  return /^[\w.-]*$/.test(token) ? null : { skipped: 'valid only for readers that pass over odd characters' };
}

function keyOf(group: Group): JWK | { readonly keys: JWK[] } {
  return (group['public'] ?? group['private']) as JWK | { readonly keys: JWK[] };
}

/** A token has one spelling. */
function isCanonical(token: string): boolean {
  return token.split('.').every((part) => Buffer.from(part, 'base64url').toString('base64url') === part);
}

function jws(algorithms: Algorithms): Suite['run'] {
  return (vector, group) => {
    const token = vector['jws'];
    if (typeof token !== 'string') return jwe(algorithms)(vector, group);
    const skipped = unsupported(token, vector, group, algorithms);
    if (skipped !== null) return skipped;
    const key = keyOf(group);
    const options = { algorithms: algorithms.signature };
    return attempt(async () => {
      if (!isCanonical(token)) return false;
      if ('keys' in key) {
        const keys = (key as JSONWebKeySet).keys.filter(isSoundKey);
        return compactVerify(token, createLocalJWKSet({ keys }), options);
      }
      if (!isSoundKey(key)) return false;
      return compactVerify(token, await importJWK(key), { algorithms: pin(key, options.algorithms) });
    });
  };
}

/** A key is for its own algorithm and for no other. */
function pin(key: JWK, algorithms: readonly string[]): string[] {
  return algorithms.filter((algorithm) => key.alg === undefined || key.alg === algorithm);
}

function jwe(algorithms: Algorithms): Suite['run'] {
  return (vector, group) => {
    const token = vector['jwe'];
    if (typeof token !== 'string') return { skipped: 'JSON serialization' };
    const skipped = unsupported(token, vector, group, algorithms);
    if (skipped !== null) return skipped;
    const key = group['private'] as JWK;
    return attempt(async () => {
      if (!isCanonical(token)) return false;
      const { plaintext } = await compactDecrypt(token, await importJWK(key), {
        keyManagementAlgorithms: pin(key, algorithms.keyManagement),
        contentEncryptionAlgorithms: algorithms.content,
      });
      return vector['pt'] === undefined || Buffer.from(plaintext).equals(hex(vector['pt']));
    });
  };
}

/** As data is sealed: a key of 256 bits, a nonce of 96, a tag of 128. */
function gcm(vector: Vector, { keySize, ivSize, tagSize }: Group): Promise<Ended> | Ended {
  if (keySize !== 256 || ivSize !== 96 || tagSize !== 128) {
    return { skipped: 'another size of key or nonce' };
  }
  return attempt(() => {
    const opening = createDecipheriv('aes-256-gcm', hex(vector['key']), hex(vector['iv']), { authTagLength: 16 });
    opening.setAAD(hex(vector['aad']));
    opening.setAuthTag(hex(vector['tag']));
    return Buffer.concat([opening.update(hex(vector['ct'])), opening.final()]).equals(hex(vector['msg']));
  });
}

function keyWrap(vector: Vector, { keySize }: Group): Promise<Ended> | Ended {
  if (keySize !== 256) return { skipped: `key of ${String(keySize)}` };
  return attempt(async () => {
    const { subtle } = webcrypto;
    const wrapping = await subtle.importKey('raw', hex(vector['key']), 'AES-KW', false, ['unwrapKey']);
    const hash = { name: 'HMAC', hash: 'SHA-256' };
    const key = await subtle.unwrapKey('raw', hex(vector['ct']), wrapping, 'AES-KW', hash, true, ['sign']);
    return Buffer.from(await subtle.exportKey('raw', key)).equals(hex(vector['msg']));
  });
}

function agreement(algorithm: { readonly name: string; readonly namedCurve?: string }): Suite['run'] {
  return (vector) =>
    attempt(async () => {
      const { subtle } = webcrypto;
      const [ours, theirs] = await Promise.all([
        subtle.importKey('jwk', vector['private'] as JWK, algorithm, false, ['deriveBits']),
        subtle.importKey('jwk', vector['public'] as JWK, algorithm, false, []),
      ]);
      const bits = await subtle.deriveBits({ name: algorithm.name, public: theirs }, ours, 256);
      return Buffer.from(bits).equals(hex(vector['shared']));
    });
}

function hmac(vector: Vector, { tagSize }: Group): Promise<Ended> | Ended {
  if (tagSize !== 256) return { skipped: `tag of ${String(tagSize)}` };
  const tag = createHmac('sha256', hex(vector['key'])).update(hex(vector['msg'])).digest();
  return attempt(() => timingSafeEqual(tag, hex(vector['tag'])));
}

const suites: readonly Suite[] = [
  { file: 'json_web_signature_test.json', what: 'as pinned', run: jws(pinned) },
  { file: 'json_web_signature_test.json', what: 'all of jose', run: jws(everything) },
  { file: 'json_web_encryption_test.json', what: 'as pinned', run: jwe(pinned) },
  { file: 'json_web_encryption_test.json', what: 'all of jose', run: jwe(everything) },
  { file: 'json_web_crypto_test.json', what: 'as pinned', run: jws(pinned) },
  { file: 'json_web_crypto_test.json', what: 'all of jose', run: jws(everything) },
  { file: 'json_web_key_test.json', what: 'as pinned', run: jws(pinned) },
  { file: 'aes_gcm_test.json', what: 'as sealed', run: gcm },
  { file: 'aes_wrap_test.json', what: 'A256KW', run: keyWrap },
  {
    file: 'ecdh_secp256r1_webcrypto_test.json',
    what: 'ECDH-ES, P-256',
    run: agreement({ name: 'ECDH', namedCurve: 'P-256' }),
  },
  { file: 'x25519_jwk_test.json', what: 'ECDH-ES, X25519', run: agreement({ name: 'X25519' }) },
  { file: 'hmac_sha256_test.json', what: 'HS256', run: hmac },
];

async function look(folder: string, { file, what, run }: Suite): Promise<boolean> {
  const { testGroups } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as { testGroups: readonly Group[] };
  const counts = new Map<string, number>();
  const count = (key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1);
  const wrong: string[] = [];
  for (const group of testGroups) {
    for (const vector of group.tests) {
      const ended = await run(vector, group);
      if (typeof ended === 'object') {
        count(`skipped (${ended.skipped})`);
        continue;
      }
      count(`${vector.result} ${ended}`);
      const isWrong = vector.result === (ended === 'accepted' ? 'invalid' : 'valid');
      if (isWrong) wrong.push(`  ${vector.result} ${ended}: ${vector.tcId} ${vector.comment}`);
    }
  }
  const figures = [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, number]) => `${key} ${number}`);
  console.log(`${file} (${what}): ${figures.join(', ')}`);
  for (const line of wrong) console.log(line);
  return wrong.length === 0;
}

const [folder = ''] = process.argv.slice(2);
if (!existsSync(join(folder, suites[0]?.file ?? ''))) {
  console.error('Usage: node scripts/wycheproof.ts PATH/TO/wycheproof/testvectors_v1');
  process.exit(2);
}
let isFine = true;
for (const suite of suites) isFine = (await look(folder, suite)) && isFine;
process.exitCode = isFine ? 0 : 1;
