import { createHmac, generateKeyPairSync, sign as signWith } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MizanError } from '../core/errors.ts';
import { Secret } from '../core/secret.ts';
import type { TokenGrant } from './tokens.ts';
import { Tokens } from './tokens.ts';

const secret = 'a-secret-of-at-least-32-characters!';
const settings = { secret: new Secret(secret), issuer: 'mizan', audience: 'mizan-api' };
const tokens = new Tokens(settings);
/** How far clocks may differ. */
const leewaySeconds = 30;

const now = Date.UTC(2026, 0, 1);
const seconds = now / 1000;
const grant: TokenGrant = { subject: 'ci', tenant: 'acme', role: 'operator', agents: ['assistant'], ttl: 3600 };

const good = { iss: 'mizan', aud: 'mizan-api', sub: 'ci', exp: seconds + 3600, tenant: 'acme', role: 'admin' };

const part = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** A token made by hand, so that nothing but the standard says what is right. */
function token(claims: unknown, header: unknown = { alg: 'HS256', typ: 'JWT' }, hash = 'sha256', key = secret): string {
  const signed = `${part(header)}.${part(claims)}`;
  return `${signed}.${createHmac(hash, key).update(signed).digest('base64url')}`;
}

async function refusal(given: string, at = now): Promise<MizanError> {
  const error: unknown = await tokens.verify(given, at).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(MizanError);
  return error as MizanError;
}

describe('a token', () => {
  test('that was signed here is understood here', async () => {
    expect(await tokens.verify(await tokens.sign(grant, now), now)).toStrictEqual({
      principal: {
        subject: 'ci',
        tenant: 'acme',
        role: 'operator',
        agents: ['assistant'],
        models: null,
        scope: 'own',
        via: 'jwt',
        credential: expect.any(String),
      },
      expiresAt: now + (3600 + leewaySeconds) * 1000,
      issuedAt: now,
    });
  });

  test('that was signed elsewhere with the secret is understood', async () => {
    expect((await tokens.verify(token(good), now)).principal).toMatchObject({
      subject: 'ci',
      role: 'admin',
      agents: null,
    });
  });

  test('without a tenant, role or agents has the least of each', async () => {
    const { tenant: _tenant, role: _role, ...bare } = good;
    const { principal } = await tokens.verify(token(bare), now);
    expect(principal).toMatchObject({ tenant: 'default', role: 'member', agents: null });
  });

  test('may be for models, and for every tenant', async () => {
    const signed = await tokens.sign({ ...grant, models: ['fast'], scope: 'any' }, now);
    expect((await tokens.verify(signed, now)).principal).toMatchObject({ models: ['fast'], scope: 'any' });
  });

  test.each(['JWT', 'jwt', 'at+jwt', 'application/at+JWT', undefined])('may have the type %j', async (typ) => {
    await expect(tokens.verify(token(good, { alg: 'HS256', typ }), now)).resolves.toBeTruthy();
  });

  test('for no agents at all is for none, not for all', async () => {
    const signed = await tokens.sign({ ...grant, agents: [] }, now);
    expect((await tokens.verify(signed, now)).principal.agents).toStrictEqual([]);
  });

  test('may be for several audiences', async () => {
    await expect(tokens.verify(token({ ...good, aud: ['other', 'mizan-api'] }), now)).resolves.toBeTruthy();
  });

  test('is never the same twice', async () => {
    expect(await tokens.sign(grant, now)).not.toBe(await tokens.sign(grant, now));
  });
});

describe('time', () => {
  const expiring = token({ ...good, exp: seconds });

  test('ends a token, some seconds of difference between clocks allowed', async () => {
    await expect(tokens.verify(expiring, now + (leewaySeconds - 1) * 1000)).resolves.toBeTruthy();
    expect(await refusal(expiring, now + leewaySeconds * 1000)).toMatchObject({ code: 'expired_token', status: 401 });
    expect(await refusal(expiring, now + 365 * 86_400_000)).toMatchObject({ code: 'expired_token' });
  });

  test('begins a token, with the same allowance', async () => {
    const early = token({ ...good, nbf: seconds + leewaySeconds });
    await expect(tokens.verify(early, now)).resolves.toBeTruthy();
    expect(await refusal(early, now - 1000)).toMatchObject({ code: 'invalid_token' });
  });

  test('has not come yet for a token from the future, with the same allowance', async () => {
    const given = (iat: number) => token({ ...good, iat });
    await expect(tokens.verify(given(seconds + leewaySeconds), now)).resolves.toBeTruthy();
    expect(await refusal(given(seconds + leewaySeconds + 1))).toMatchObject({
      code: 'invalid_token',
      message: 'The token\'s claim "iat" is not as expected.',
    });
  });

  test('of a token is no longer than it is good for', async () => {
    const { expiresAt } = await tokens.verify(expiring, now);
    expect((await refusal(expiring, expiresAt)).code).toBe('expired_token');
  });
});

describe('a token is refused', () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = publicKey.export({ type: 'spki', format: 'pem' });
  const signedByRsa = `${part({ alg: 'RS256' })}.${part(good)}`;
  const forged: [what: string, given: string][] = [
    ['alg none, without a signature', `${part({ alg: 'none' })}.${part(good)}.`],
    ['alg none, with one', token(good, { alg: 'none' })],
    ['alg None', token(good, { alg: 'None' })],
    ['alg HS384 with the right secret', token(good, { alg: 'HS384' }, 'sha384')],
    ['alg HS512 with the right secret', token(good, { alg: 'HS512' }, 'sha512')],
    ['alg HS256, signed with SHA-512', token(good, { alg: 'HS256' }, 'sha512')],
    [
      'alg RS256, rightly signed',
      `${signedByRsa}.${signWith('sha256', Buffer.from(signedByRsa), privateKey).toString('base64url')}`,
    ],
    ['alg RS256, signed with the public key as a secret', token(good, { alg: 'RS256' }, 'sha256', pem)],
    ['alg HS256, signed with a public key', token(good, { alg: 'HS256' }, 'sha256', pem)],
    ['no alg', token(good, { typ: 'JWT' })],
    ['alg that is no name', token(good, { alg: ['HS256'] })],
    ['another secret', token(good, undefined, 'sha256', `${secret}x`)],
    ['an empty secret', token(good, undefined, 'sha256', '')],
    [
      'a key of its own in the header',
      token(good, { alg: 'HS256', jwk: { kty: 'oct', k: part('mine') } }, 'sha256', 'mine'),
    ],
    ['a header that demands to be understood', token(good, { alg: 'HS256', crit: ['x'], x: 1 })],
    ['the type of another kind of token', token(good, { alg: 'HS256', typ: 'logout+jwt' })],
    ['a type that is no text', token(good, { alg: 'HS256', typ: 1 })],
    ['a kid that is no text', token(good, { alg: 'HS256', kid: { $ne: null } })],
    ['a kid as long as a book', token(good, { alg: 'HS256', kid: 'x'.repeat(257) })],
    ['unencoded claims', token(good, { alg: 'HS256', b64: false, crit: ['b64'] })],
  ];

  test.each(forged)('with %s', async (_what, given) => {
    expect(await refusal(given)).toMatchObject({ code: 'invalid_token', status: 401 });
  });

  test.each(['HS384', 'HS512'])('for its algorithm alone, were it %s', async (alg) => {
    const given = token(good, { alg }, alg.replace('HS', 'sha'));
    expect((await refusal(given)).message).toBe("The token's algorithm is not accepted: only HS256 is.");
  });

  const { sub: _sub, ...withoutSub } = good;
  const { exp: _exp, ...withoutExp } = good;
  const { iss: _iss, ...withoutIss } = good;
  const { aud: _aud, ...withoutAud } = good;
  const wrong: [what: string, claims: unknown][] = [
    ['without sub', withoutSub],
    ['without exp', withoutExp],
    ['without iss', withoutIss],
    ['without aud', withoutAud],
    ['of another issuer', { ...good, iss: 'other' }],
    ['for another audience', { ...good, aud: 'other' }],
    ['for audiences without us', { ...good, aud: ['other', 'another'] }],
    ['with an empty sub', { ...good, sub: '' }],
    ['with a long sub', { ...good, sub: 'x'.repeat(201) }],
    ['with a sub of another type', { ...good, sub: 7 }],
    ['with an exp of another type', { ...good, exp: String(good.exp) }],
    ['with an nbf of another type', { ...good, nbf: 'now' }],
    ['with an iss of another type', { ...good, iss: ['mizan'] }],
    ['with an aud of another type', { ...good, aud: { 0: 'mizan-api' } }],
    ['with a role nobody knows', { ...good, role: 'root' }],
    ['with roles', { ...good, role: ['admin'] }],
    ['with an empty tenant', { ...good, tenant: '' }],
    ['with a long tenant', { ...good, tenant: 'x'.repeat(101) }],
    ['with a tenant of another type', { ...good, tenant: null }],
    ['for every tenant by its name', { ...good, tenant: '*' }],
    ['for Mizan itself', { ...good, tenant: 'system' }],
    ['for every tenant by another word', { ...good, any_tenant: 'yes' }],
    ['with models that are no list', { ...good, models: 'fast' }],
    ['with an empty jti', { ...good, jti: '' }],
    ['with a jti of another type', { ...good, jti: 1 }],
    ['with an iat of another type', { ...good, iat: 'now' }],
    ['with agents that are no list', { ...good, agents: 'assistant' }],
    ['with agents that are no names', { ...good, agents: [1] }],
    ['whose claims are a list', [good]],
    ['whose claims are null', null],
    ['whose claims are no JSON', 'not json'],
  ];

  test.each(wrong)('%s, though rightly signed', async (_what, claims) => {
    expect(await refusal(token(claims))).toMatchObject({ code: 'invalid_token', status: 401 });
  });

  test('that is longer than 8 KiB, unread', async () => {
    const long = token({ ...good, x: 'x'.repeat(7000) });
    expect(long.length).toBeGreaterThan(8192);
    expect(await refusal(long)).toMatchObject({ code: 'invalid_token', message: 'The token is longer than 8 KiB.' });
    const startedAt = performance.now();
    await refusal('a.'.repeat(10_000_000));
    expect(performance.now() - startedAt).toBeLessThan(100);
  });

  test.each(['', '.', '..', '...', 'a.b', 'a.b.c', 'a.b.c.d.e', '{}', 'سلام', `${token(good)}.`, `.${token(good)}`])(
    'that is none: %j',
    async (given) => {
      expect(await refusal(given)).toMatchObject({ code: 'invalid_token' });
    },
  );

  test('in any spelling but its own', async () => {
    const given = token(good);
    for (const other of [`${given}=`, `${given}\n`, ` ${given}`, given.replace('.', ' .'), `${given}==`]) {
      expect(await refusal(other)).toMatchObject({ code: 'invalid_token' });
    }
  });

  test('whose claims are not UTF-8', async () => {
    const claims = Buffer.from(JSON.stringify({ ...good, sub: 'caf#' }).replace('#', '\u00e9'), 'latin1');
    const signed = `${part({ alg: 'HS256' })}.${claims.toString('base64url')}`;
    expect(await refusal(`${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`)).toMatchObject(
      {
        code: 'invalid_token',
      },
    );
  });

  test('that was changed at any place, to anything', async () => {
    const given = await tokens.sign(grant, now);
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.';
    const changed: string[] = [];
    for (let at = 0; at < given.length; at++) {
      const next = alphabet[(alphabet.indexOf(given[at]!) + 1) % alphabet.length]!;
      changed.push(given.slice(0, at) + next + given.slice(at + 1), given.slice(0, at) + given.slice(at + 1));
    }
    for (const last of alphabet.replace(given.at(-1)!, '')) changed.push(given.slice(0, -1) + last);
    const errors = await Promise.all(changed.map((other) => refusal(other)));
    expect(new Set(errors.map(({ code }) => code))).toStrictEqual(new Set(['invalid_token']));
  });

  test('that is anything at all', async () => {
    const anything = fc.oneof(fc.string(), fc.string({ unit: 'grapheme' }), fc.constantFrom('', part(good)));
    await fc.assert(
      fc.asyncProperty(fc.array(anything, { minLength: 1, maxLength: 5 }), async (parts) => {
        expect((await refusal(parts.join('.'))).code).toBe('invalid_token');
      }),
      { numRuns: 30 },
    );
  });
});

test('a refusal says nothing of the secret, nor what a right token would say', async () => {
  for (const given of [
    token(good, undefined, 'sha256', 'x'),
    token({ ...good, iss: 'other' }),
    token({ ...good, aud: 'other' }),
  ]) {
    const shown = JSON.stringify((await refusal(given)).toPublic(null));
    expect(shown).not.toContain(secret);
    expect(shown).not.toContain('mizan-api');
  }
});
