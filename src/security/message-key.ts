import type { KeyObject, webcrypto } from 'node:crypto';
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
} from 'node:crypto';
import { MizanError } from '../core/errors.ts';

/** A key as JSON (RFC 7517): `oct` of 256 bits, `EC` on P-256, or `OKP` with X25519. */
export interface MessageJwk {
  readonly kty: string;
  readonly kid?: string;
  readonly crv?: string;
  readonly k?: string;
  readonly x?: string;
  readonly y?: string;
  readonly d?: string;
  readonly [member: string]: unknown;
}

/** How a key is used; it is the key that says so, never the message. */
export type MessageAlgorithm = 'dir' | 'ECDH-ES+A256KW';

/** A key for messages, with the one algorithm that it is for. */
export interface MessageKey {
  /** Goes into the header of what it encrypts. */
  readonly kid: string;
  readonly algorithm: MessageAlgorithm;
  /** The secret, or the public key. */
  readonly encrypts: KeyObject;
  /** The secret, or the private key; `null` for a public key alone. */
  readonly decrypts: KeyObject | null;
}

const curves: Readonly<Record<string, { readonly kty: string; readonly members: readonly string[] }>> = {
  'P-256': { kty: 'EC', members: ['crv', 'kty', 'x', 'y'] },
  X25519: { kty: 'OKP', members: ['crv', 'kty', 'x'] },
};

/**
 * A key from its JWK, or a symmetric one from its 32 bytes. Without a `kid` of its own, its thumbprint (RFC 7638).
 * @throws MizanError `invalid_request` for any other kind of key, or one that says it is for something else.
 */
export function messageKeyOf(given: MessageJwk | Uint8Array): MessageKey {
  if (given instanceof Uint8Array) return symmetricKey(Buffer.from(given), undefined);
  if (typeof given !== 'object' || given === null) throw refusal('it is not a JWK');
  const { kid, use } = given;
  if (kid !== undefined && (typeof kid !== 'string' || kid === '' || kid.length > 200)) throw refusal('its kid is odd');
  if (use !== undefined && use !== 'enc') throw refusal('its use is not "enc"');
  if (given.kty === 'oct') {
    checkAlgorithm(given, ['dir', 'A256GCM']);
    return symmetricKey(Buffer.from(typeof given.k === 'string' ? given.k : '', 'base64url'), kid);
  }
  const curve = typeof given.crv === 'string' && Object.hasOwn(curves, given.crv) ? curves[given.crv] : undefined;
  if (curve === undefined || curve.kty !== given.kty) throw refusal('it is neither oct, nor EC on P-256, nor X25519');
  checkAlgorithm(given, ['ECDH-ES+A256KW']);
  return { kid: kid ?? thumbprint(given, curve.members), algorithm: 'ECDH-ES+A256KW', ...keyPair(given) };
}

/** A symmetric key of 256 bits by its name. */
function symmetricKey(secret: Buffer, kid: string | undefined): MessageKey {
  if (secret.length !== 32) throw refusal('a symmetric key has 32 bytes');
  const key = createSecretKey(secret);
  const name = kid ?? thumbprint({ kty: 'oct', k: secret.toString('base64url') }, ['k', 'kty']);
  return { kid: name, algorithm: 'dir', encrypts: key, decrypts: key };
}

function keyPair(jwk: MessageJwk): Pick<MessageKey, 'encrypts' | 'decrypts'> {
  const { kty, crv, x, y, d } = jwk;
  const point = { kty, crv, x, ...(kty === 'EC' ? { y } : {}) };
  try {
    const encrypts = createPublicKey({ key: point as webcrypto.JsonWebKey, format: 'jwk' });
    checkAgreement(encrypts, String(crv));
    if (d === undefined) return { encrypts, decrypts: null };
    return { encrypts, decrypts: createPrivateKey({ key: { ...point, d } as webcrypto.JsonWebKey, format: 'jwk' }) };
  } catch (cause) {
    if (cause instanceof MizanError) throw cause;
    throw refusal('it is no point of its curve', cause);
  }
}

/** A private key of each curve, to try others with; made when it is first needed. */
const trials = new Map<string, KeyObject>();

/** There are points that agree on nothing but zeros with anybody (RFC 7748 §6.1): better known now than at the answer. */
function checkAgreement(publicKey: KeyObject, curve: string): void {
  const privateKey = trials.get(curve) ?? trialKey(curve);
  trials.set(curve, privateKey);
  try {
    diffieHellman({ privateKey, publicKey });
  } catch (cause) {
    throw refusal('no secret can be agreed with it', cause);
  }
}

function trialKey(curve: string): KeyObject {
  if (curve === 'X25519') return generateKeyPairSync('x25519').privateKey;
  return generateKeyPairSync('ec', { namedCurve: curve }).privateKey;
}

function checkAlgorithm({ alg }: MessageJwk, known: readonly string[]): void {
  if (alg !== undefined && !(typeof alg === 'string' && known.includes(alg)))
    throw refusal(`its alg is not ${known.join(' or ')}`);
}

/** RFC 7638: the hash of the members that make the key, in their order. */
function thumbprint(jwk: MessageJwk, members: readonly string[]): string {
  const canonical = JSON.stringify(Object.fromEntries(members.map((member) => [member, jwk[member]])));
  return createHash('sha256').update(canonical).digest('base64url');
}

function refusal(why: string, cause?: unknown): MizanError {
  return new MizanError('invalid_request', `This key can't be used: ${why}.`, { cause });
}
