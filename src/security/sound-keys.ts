import type { JWK } from 'jose';

/** Those by which the moduli of Infineon's flawed generator are told (ROCA, CVE-2017-15361). */
const primes = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113,
  127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/** By prime, the powers of 65537: such a modulus is one of them for every prime, another one for some. */
const powers = primes.map((prime) => {
  const found = new Set<number>();
  for (let power = 1; !found.has(power); power = (power * 65_537) % prime) found.add(power);
  return [BigInt(prime), found] as const;
});

/**
 * Whether a public key of somebody else's can be relied upon, as far as it shows: an RSA key whose exponent is no
 * exponent lets anyone sign, and one of a generator that is known to be broken belongs to whoever takes the trouble. The
 * length is checked where keys are used.
 */
export function isSoundKey(key: Pick<JWK, 'kty' | 'n' | 'e'>): boolean {
  if (key.kty !== 'RSA') return true;
  const modulus = numberOf(key.n);
  const exponent = numberOf(key.e);
  if (exponent < 3n || exponent % 2n === 0n || modulus % 2n === 0n) return false;
  return powers.some(([prime, found]) => !found.has(Number(modulus % prime)));
}

function numberOf(base64url: string | undefined): bigint {
  const hex = Buffer.from(base64url ?? '', 'base64url').toString('hex');
  return hex === '' ? 0n : BigInt(`0x${hex}`);
}
