import { KeyObject, createHmac, generateKeyPairSync, hash, sign } from 'node:crypto';
import { exportSPKI } from 'jose';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { principal } from '../../test/support/calls.ts';
import { ManualClock } from '../../test/support/clock.ts';
import type { IssuerKey, TestIssuer } from '../../test/support/issuer.ts';
import { issuerKey, startIssuer } from '../../test/support/issuer.ts';
import { MizanError } from '../core/errors.ts';
import type { IssuerSettings } from '../core/issuer.ts';
import { Secret } from '../core/secret.ts';
import { guardedFetch } from '../egress/fetch.ts';
import { EgressGuard } from '../egress/guard.ts';
import { egressRules } from '../egress/rules.ts';
import { IssuerKeys, keyTimes } from './issuer-keys.ts';
import { Issuer } from './issuer.ts';
import { jwksOver } from './jwks-fetch.ts';
import { Tokens } from './tokens.ts';
import { Verifier } from './verifier.ts';

const leewaySeconds = 30;
const noClaims = { tenant: null, role: null, agents: null, models: null };
const secret = 's'.repeat(32);
const fetch = jwksOver(guardedFetch(new EgressGuard(egressRules([]))));

let rsa: IssuerKey;
let other: IssuerKey;
let byAlgorithm: ReadonlyMap<string, IssuerKey>;

beforeAll(async () => {
  rsa = await issuerKey('RS256', 'one');
  other = await issuerKey('RS256', 'two');
  const more = await Promise.all(['ES256', 'EdDSA', 'PS256'].map((alg) => issuerKey(alg, alg)));
  byAlgorithm = new Map([rsa, ...more].map((key) => [key.alg, key]));
});

function settingsOf(issuer: Pick<TestIssuer, 'url'>, over: Partial<IssuerSettings> = {}): IssuerSettings {
  return {
    issuer: issuer.url,
    audience: ['mizan'],
    algorithms: ['RS256'],
    jwksUri: null,
    claims: noClaims,
    tenant: 'acme',
    roles: {},
    defaultRole: 'member',
    maxRole: 'member',
    anyTenant: [],
    ...over,
  };
}

function verifierOf(issuer: TestIssuer, over: Partial<IssuerSettings> = {}) {
  const clock = new ManualClock();
  const events = { failed: vi.fn<(issuer: string) => void>(), recovered: vi.fn<(issuer: string) => void>() };
  const settings = settingsOf(issuer, over);
  const keys = new IssuerKeys(settings, { fetch, clock, events });
  const own = new Tokens({ secret: new Secret(secret), issuer: 'mizan', audience: 'mizan' });
  const verifier = new Verifier(own, [new Issuer(settings, keys)]);
  const verify = (token: string, now = clock.now()) => verifier.verify(token, now);
  const refusal = async (token: string, now?: number): Promise<MizanError> => {
    const error: unknown = await verify(token, now).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MizanError);
    return error as MizanError;
  };
  return { clock, events, own, verify, refusal };
}

describe("an issuer's token", () => {
  test.each(['RS256', 'ES256', 'EdDSA', 'PS256'])('is accepted with %s, where it is configured', async (alg) => {
    const key = byAlgorithm.get(alg)!;
    const issuer = await startIssuer(key);
    const token = await issuer.sign(key, { jti: 'x', iat: 1_700_000_000 });
    const { verify } = verifierOf(issuer, { algorithms: [alg as 'RS256'] });
    expect(await verify(token)).toStrictEqual({
      principal: { ...principal, credential: 'x' },
      expiresAt: (4_000_000_000 + leewaySeconds) * 1000,
      issuedAt: 1_700_000_000_000,
    });
    const { refusal } = verifierOf(issuer, { algorithms: ['RS512'] });
    expect((await refusal(token)).message).toBe("The token's algorithm is not accepted: only RS512 is.");
  });

  test('may be a type of its own, or none, and of no other', async () => {
    const issuer = await startIssuer(rsa);
    const { verify, refusal } = verifierOf(issuer);
    for (const typ of ['at+jwt', undefined]) await verify(await issuer.sign(rsa, {}, { typ }));
    for (const typ of ['logout+jwt', 'dpop+jwt', 'JWE', '', 1]) {
      expect((await refusal(await issuer.sign(rsa, {}, { typ }))).code).toBe('invalid_token');
    }
  });

  test('is for us by any of its audiences, and of ours', async () => {
    const issuer = await startIssuer(rsa);
    const { verify, refusal } = verifierOf(issuer, { audience: ['mizan', 'mizan-eu'] });
    for (const aud of ['mizan', ['other', 'mizan-eu']]) await verify(await issuer.sign(rsa, { aud }));
    for (const aud of ['Mizan', 'mizan ', ['other'], [], '', null, undefined, { mizan: 1 }]) {
      expect((await refusal(await issuer.sign(rsa, { aud }))).code).toBe('invalid_token');
    }
  });

  test('begins and ends by the clock, with 30 seconds of difference allowed', async () => {
    const issuer = await startIssuer(rsa);
    const { verify, refusal, clock } = verifierOf(issuer);
    const now = clock.now() / 1000;
    const good: object[] = [{ exp: now - 29 }, { nbf: now + 30 }, { iat: now + 30 }];
    const bad: object[] = [{ exp: now - 30 }, { nbf: now + 31 }, { iat: now + 31 }, { exp: String(now + 60) }];
    for (const claims of good) await verify(await issuer.sign(rsa, claims));
    const codes = await Promise.all(bad.map(async (claims) => (await refusal(await issuer.sign(rsa, claims))).code));
    expect(codes).toStrictEqual(['expired_token', 'invalid_token', 'invalid_token', 'invalid_token']);
    expect((await refusal(await issuer.sign(rsa, { exp: undefined }))).code).toBe('invalid_token');
  });

  test('of another issuer, or by another issuer’s key, is refused', async () => {
    const issuer = await startIssuer(rsa);
    const stranger = await startIssuer(other);
    const { refusal } = verifierOf(issuer);
    expect((await refusal(await stranger.sign(other))).code).toBe('invalid_token');
    expect((await refusal(await issuer.sign({ ...other, kid: rsa.kid }))).code).toBe('invalid_token');
    expect((await refusal(await issuer.sign(rsa, { iss: `${issuer.url}/` }))).code).toBe('invalid_token');
    expect(stranger.asked).toStrictEqual([]);
  });

  test('has one spelling', async () => {
    const issuer = await startIssuer(byAlgorithm.get('ES256')!, rsa);
    const { verify, refusal } = verifierOf(issuer, { algorithms: ['RS256', 'ES256'] });
    for (const key of [byAlgorithm.get('ES256')!, rsa]) {
      const token = await issuer.sign(key);
      await verify(token);
      // 64 and 256 bytes leave bits of the last character that readers pass over.
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
      const twin = token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1)!) ^ 1]!;
      expect(Buffer.from(twin.split('.')[2]!, 'base64url')).toEqual(Buffer.from(token.split('.')[2]!, 'base64url'));
      for (const spelling of [twin, `${token}=`, `${token}\n`]) {
        expect((await refusal(spelling)).code).toBe('invalid_token');
      }
    }
  });

  test('is at most 8 KiB long, whoever it says it is from', async () => {
    const issuer = await startIssuer(rsa);
    const { refusal } = verifierOf(issuer);
    const long = await issuer.sign(rsa, { x: 'x'.repeat(8000) });
    expect(await refusal(long)).toMatchObject({ message: 'The token is longer than 8 KiB.' });
    expect(issuer.asked).toStrictEqual([]);
  });
});

describe('an algorithm', () => {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const hmac = (header: object, claims: object, key: string): string => {
    const signed = `${part(header)}.${part(claims)}`;
    return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
  };

  test('is never confused: no public key is a secret, and no secret is an issuer’s', async () => {
    const issuer = await startIssuer(rsa);
    const { refusal, own, clock } = verifierOf(issuer);
    const claims = { iss: issuer.url, aud: 'mizan', sub: 'x', exp: 4_000_000_000, role: 'admin' };
    const pem = await exportSPKI(rsa.publicKey);
    const forged = [pem, pem.trim(), JSON.stringify(rsa.jwk), secret, ''].flatMap((key) =>
      ['HS256', 'RS256', 'hs256', 'none', 'None', 'nOnE'].map((alg) => hmac({ alg, kid: 'one' }, claims, key || 'x')),
    );
    forged.push(`${part({ alg: 'none' })}.${part(claims)}.`);
    for (const token of forged) expect((await refusal(token)).code).toBe('invalid_token');
    // And the other way about: an issuer's signature is no proof of a token of ours.
    const asOurs = await issuer.sign(rsa, { iss: 'mizan', role: 'admin' });
    expect((await refusal(asOurs)).message).toBe("The token's algorithm is not accepted: only HS256 is.");
    const ours = await own.sign({ subject: 's', tenant: 't', role: 'admin', agents: null, ttl: 60 }, clock.now());
    const { verify } = verifierOf(issuer);
    expect((await verify(ours)).principal.role).toBe('admin');
  });

  test('of a symmetric key in the key set is not taken', async () => {
    const issuer = await startIssuer({ ...rsa, jwk: { kty: 'oct', k: part('x'), kid: 'one', alg: 'HS256' } });
    const { refusal } = verifierOf(issuer);
    const claims = { iss: issuer.url, aud: 'mizan', sub: 'x', exp: 4_000_000_000 };
    expect((await refusal(hmac({ alg: 'HS256', kid: 'one' }, claims, JSON.stringify('x')))).code).toBe('invalid_token');
    expect((await refusal(await issuer.sign(rsa))).code).toBe('invalid_token');
  });
});

describe('what a header names', () => {
  test('is never fetched: jku, x5u, jwk and x5c are nothing to us', async () => {
    const issuer = await startIssuer(rsa);
    const trap = await startIssuer(other);
    const { refusal, verify } = verifierOf(issuer);
    const headers = { jku: trap.jwksUri, x5u: `${trap.url}/x5u`, jwk: other.jwk, x5c: ['x'] };
    for (const kid of ['one', 'two', trap.jwksUri]) {
      expect((await refusal(await issuer.sign({ ...other, kid }, {}, headers))).code).toBe('invalid_token');
    }
    await verify(await issuer.sign(rsa, {}, headers));
    expect(trap.asked).toStrictEqual([]);
  });

  test('as critical is refused, were it rightly signed', async () => {
    const issuer = await startIssuer(rsa);
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = part({ iss: issuer.url, aud: 'mizan', sub: 'x', exp: 4_000_000_000 });
    const by = (header: object): string => {
      const signed = `${part({ alg: 'RS256', kid: 'one', ...header })}.${claims}`;
      return `${signed}.${sign('sha256', Buffer.from(signed), KeyObject.from(rsa.privateKey)).toString('base64url')}`;
    };
    const { verify, refusal } = verifierOf(issuer);
    await verify(by({}));
    for (const header of [{ crit: ['x'], x: 1 }, { crit: [] }, { crit: ['jku'], jku: issuer.jwksUri }, { crit: 'x' }]) {
      expect((await refusal(by(header))).code).toBe('invalid_token');
    }
  });

  test.each([
    '../../../../etc/passwd',
    '/dev/null',
    "one' OR '1'='1",
    "'; DROP TABLE api_keys; --",
    'http://127.0.0.1:1/keys',
    'file:///etc/passwd',
    '__proto__',
    'constructor',
    '',
    'one\u0000',
    'ONE',
    '*',
  ])('as its key is compared, and nothing else: %j', async (kid) => {
    const issuer = await startIssuer(rsa);
    const { refusal } = verifierOf(issuer);
    expect((await refusal(await issuer.sign({ ...rsa, kid }))).code).toBe('invalid_token');
    expect(new Set(issuer.asked)).toStrictEqual(new Set(['/.well-known/openid-configuration', '/keys']));
  });
});

describe("an issuer's keys", () => {
  test('are found by discovery, or where the configuration says', async () => {
    const issuer = await startIssuer(rsa);
    const token = await issuer.sign(rsa);
    await verifierOf(issuer).verify(token);
    expect(issuer.asked).toStrictEqual(['/.well-known/openid-configuration', '/keys']);
    await verifierOf(issuer, { jwksUri: issuer.jwksUri }).verify(token);
    expect(issuer.asked.slice(2)).toStrictEqual(['/keys']);
  });

  test('are fetched once for many tokens, also for those that come together', async () => {
    const issuer = await startIssuer(rsa);
    const { verify } = verifierOf(issuer);
    await Promise.all(Array.from({ length: 20 }, async (_, i) => verify(await issuer.sign(rsa, { sub: `s${i}` }))));
    expect(issuer.asked).toHaveLength(2);
  });

  test.each([
    ['is about another issuer', { issuer: 'https://evil.example' }],
    ['names keys over plain http elsewhere', { jwks_uri: 'http://192.0.2.1/keys' }],
    ['names a file', { jwks_uri: 'file:///etc/passwd' }],
    ['names nothing', { jwks_uri: undefined }],
  ])('are not taken from a discovery document that %s', async (_what, discovery) => {
    const issuer = await startIssuer(rsa);
    issuer.discovery = discovery;
    const { refusal } = verifierOf(issuer);
    expect(await refusal(await issuer.sign(rsa))).toMatchObject({ code: 'issuer_unavailable', status: 503 });
    expect(issuer.asked).toStrictEqual(['/.well-known/openid-configuration']);
  });

  test('that were rotated are picked up with the first token that names them, and the old ones end', async () => {
    const issuer = await startIssuer(rsa);
    const { verify, refusal, clock } = verifierOf(issuer);
    await verify(await issuer.sign(rsa));
    issuer.keys = [other];
    clock.advance(keyTimes.cooldown);
    expect(await verify(await issuer.sign(other))).toBeTruthy();
    expect(await refusal(await issuer.sign(rsa))).toMatchObject({
      code: 'invalid_token',
      message: 'The token names a key that its issuer does not have.',
    });
  });

  test('that nobody has make us ask no more often than the cooldown allows', async () => {
    const issuer = await startIssuer(rsa);
    const { verify, refusal, clock } = verifierOf(issuer, { jwksUri: issuer.jwksUri });
    await verify(await issuer.sign(rsa));
    for (let round = 1; round <= 3; round++) {
      for (let i = 0; i < 20; i++) await refusal(await issuer.sign({ ...other, kid: `odd-${round}-${i}` }));
      expect(issuer.asked).toHaveLength(round);
      clock.advance(keyTimes.cooldown);
    }
  });

  test('that are old are fetched behind the request that uses them', async () => {
    const issuer = await startIssuer(rsa);
    const { verify, clock } = verifierOf(issuer, { jwksUri: issuer.jwksUri });
    const token = await issuer.sign(rsa);
    await verify(token);
    clock.advance(keyTimes.fresh + 1);
    issuer.keys = [other];
    await verify(token);
    await vi.waitFor(() => expect(issuer.asked).toHaveLength(2));
    await verify(await issuer.sign(other));
    expect(issuer.asked).toHaveLength(2);
  });

  test('that are known go on being good while the issuer can’t be reached, and it is said once', async () => {
    const issuer = await startIssuer(rsa);
    const { verify, refusal, clock, events } = verifierOf(issuer);
    const token = await issuer.sign(rsa);
    await verify(token);
    issuer.status = null;
    for (let day = 0; day < 3; day++) {
      clock.advance(86_400_000);
      await verify(token);
      expect(await refusal(await issuer.sign(other))).toMatchObject({ code: 'issuer_unavailable', status: 503 });
    }
    expect(events.failed).toHaveBeenCalledTimes(1);
    issuer.status = 200;
    issuer.keys = [rsa, other];
    clock.advance(86_400_000);
    await verify(await issuer.sign(other));
    expect(events.recovered).toHaveBeenCalledTimes(1);
  });

  test('that were never had are asked for again after the cooldown, and nobody waits meanwhile', async () => {
    const issuer = await startIssuer(rsa);
    issuer.status = 500;
    const { verify, refusal, clock } = verifierOf(issuer, { jwksUri: issuer.jwksUri });
    const token = await issuer.sign(rsa);
    for (let i = 0; i < 5; i++) {
      expect(await refusal(token)).toMatchObject({ code: 'issuer_unavailable', retryAfterMs: keyTimes.cooldown });
    }
    expect(issuer.asked).toHaveLength(1);
    issuer.status = 200;
    clock.advance(keyTimes.cooldown);
    await verify(token);
  });

  test('off their curve, or too short, prove nothing', async () => {
    const curved = byAlgorithm.get('ES256')!;
    const offCurve = { ...curved.jwk, y: curved.jwk.x! };
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const short = { ...publicKey.export({ format: 'jwk' }), kid: 'short', alg: 'RS256', use: 'sig' };
    const issuer = await startIssuer({ ...curved, jwk: offCurve }, { ...rsa, kid: 'short', jwk: short });
    const { refusal } = verifierOf(issuer, { algorithms: ['ES256', 'RS256'] });
    expect((await refusal(await issuer.sign(curved))).code).toBe('invalid_token');
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = { iss: issuer.url, aud: 'mizan', sub: 'x', exp: 4_000_000_000 };
    const signed = `${part({ alg: 'RS256', kid: 'short' })}.${part(claims)}`;
    const token = `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
    expect((await refusal(token)).code).toBe('invalid_token');
  });

  test('that let anybody sign prove nothing', async () => {
    const issuer = await startIssuer({ ...rsa, jwk: { ...rsa.jwk, e: 'AQ' } });
    const { refusal } = verifierOf(issuer, { algorithms: ['RS256'] });
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = { iss: issuer.url, aud: 'mizan', sub: 'x', exp: 4_000_000_000 };
    const signed = `${part({ alg: 'RS256', kid: rsa.kid })}.${part(claims)}`;
    // With the exponent 1 a signature is nothing but the padded hash (RFC 8017 §9.2).
    const hashed = Buffer.from(`3031300d060960864801650304020105000420${hash('sha256', signed, 'hex')}`, 'hex');
    const length = Buffer.from(rsa.jwk.n!, 'base64url').length;
    const padding = Buffer.alloc(length - hashed.length - 3, 0xff);
    const forged = Buffer.concat([Buffer.from([0, 1]), padding, Buffer.from([0]), hashed]);
    expect((await refusal(`${signed}.${forged.toString('base64url')}`)).code).toBe('invalid_token');
  });

  test('that are no key set, too long, or somewhere else by a redirect, are none', async () => {
    const issuer = await startIssuer(rsa);
    const at = async (status: number, discovery: object) => {
      issuer.status = status;
      issuer.discovery = discovery as Record<string, unknown>;
      return verifierOf(issuer).refusal(await issuer.sign(rsa));
    };
    expect((await at(302, {})).code).toBe('issuer_unavailable');
    expect((await at(200, { padding: 'x'.repeat(300_000) })).code).toBe('issuer_unavailable');
    issuer.keys = [{ ...rsa, jwk: 'x' as never }];
    expect((await at(200, {})).code).toBe('issuer_unavailable');
  });
});
